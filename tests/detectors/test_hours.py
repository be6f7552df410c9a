from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.hours import DAYS, hours

BERLIN = ZoneInfo("Europe/Berlin")


def there(text: str) -> datetime:
    """A moment by Berlin's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Mon-Fri 07:00-19:00 Europe/Berlin", "2026-03-04T07:00", "2026-03-04T19:00"),
        ("Mon-Fri 07:00-19:00 Europe/Berlin", "2026-03-06T18:59", "2026-03-07T12:00"),
        ("Mon-Fri 07:00-19:00, Sat 09:00-12:00 Europe/Berlin", "2026-03-07T11:59", "2026-03-08T11:59"),
        ("Mon 22:00-06:00 Europe/Berlin", "2026-03-03T05:59", "2026-03-02T05:59"),
        ("Sun 22:00-06:00 Europe/Berlin", "2026-03-09T01:00", "2026-03-08T01:00"),
        ("Fri-Mon 10:00-11:00 Europe/Berlin", "2026-03-08T10:30", "2026-03-05T10:30"),
        ("Mon 00:00-24:00 Europe/Berlin", "2026-03-02T23:59", "2026-03-03T00:00"),
        ("Mon 22:00-00:00 Europe/Berlin", "2026-03-02T23:59", "2026-03-03T00:00"),
    ],
)
def test_inside_and_outside(text: str, inside: str, outside: str) -> None:
    assert hours(text).hold(there(inside))
    assert not hours(text).hold(there(outside))


def test_the_wall_clock_counts_when_clocks_are_put_forward_and_back() -> None:
    office = hours("Sun 01:30-03:30 Europe/Berlin")
    spring = [datetime(2026, 3, 29, 0, minute, tzinfo=UTC) for minute in (29, 30)]
    assert [office.hold(moment) for moment in spring] == [False, True]
    assert not office.hold(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))  # 03:30 in summer time, an hour after 01:30
    autumn = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)  # 01:30 in summer time; 02:xx comes twice
    held = sum(office.hold(autumn + timedelta(minutes=minute)) for minute in range(300))
    assert held == 180


def test_other_zones_than_the_recorders_own() -> None:
    office = hours("Mon-Fri 09:00-17:00 America/New_York")
    assert office.hold(datetime(2026, 1, 7, 14, 0, tzinfo=UTC))
    assert not office.hold(datetime(2026, 1, 7, 13, 59, tzinfo=UTC))


@given(st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440), st.integers(0, 7 * 1440 - 1))
def test_a_range_holds_as_many_minutes_as_it_says(day: int, start: int, length: int, minute: int) -> None:
    end = (start + length) % 1440
    if end == start:
        start, end = 0, 1440
        length = 1440
    text = f"{DAYS[day]} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02} UTC"
    moment = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=minute)
    since = (minute - day * 1440 - start) % (7 * 1440)
    assert hours(text).hold(moment) is (since < length)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no time zone"),
        ("Mon-Fri 07:00-19:00", "'07:00-19:00' is no time zone"),
        ("Mon-Fri 07:00-19:00 Europe/Nowhere", "'Europe/Nowhere' is no time zone"),
        ("Mon-Fri 07:00-19:00 ../../etc/passwd", "is no time zone"),
        ("Europe/Berlin", "no range of days"),
        ("Mo-Fr 07:00-19:00 Europe/Berlin", "no range of days"),
        ("Mon-Fry 07:00-19:00 Europe/Berlin", "'Fry' is no day; allowed: Mon, Tue"),
        ("Mon 7:00-19:00 Europe/Berlin", "no range of days"),
        ("Mon 07:00-25:00 Europe/Berlin", "no clock shows"),
        ("Mon 07:60-19:00 Europe/Berlin", "no clock shows"),
        ("Mon 24:00-06:00 Europe/Berlin", "holds no time"),
        ("Mon 07:00-07:00 Europe/Berlin", "the whole day is 00:00-24:00"),
        ("Mon 07:00-19:00, Europe/Berlin", "'' is no range"),
        ("Mon 07:00-19:00; Tue 07:00-19:00 Europe/Berlin", "no range of days"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="hours ") as refused:
        hours(text)
    assert says in str(refused.value)
