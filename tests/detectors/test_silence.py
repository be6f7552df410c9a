"""Silence that is more than ordinary, and silence that isn't."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.findings import Severity
from firebreak.detectors.silence import SILENT_RUNS, UNLOGGED_CALLS, gap_finding, silent_streak, too_long

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("runs", "streak"),
    [
        ("", 0),
        ("lll", 0),
        ("..", 0),  # too few to tell
        ("...", 3),  # it never logged
        ("..lllll", 0),
        ("...lllll", 3),
        ("..llll.llll", 0),  # a single run had nothing to do before
        ("...llll.llll", 3),
        ("...ll..ll.l", 0),
        ("....ll..ll.l", 4),
        ("l.........", 0),  # it logs again
    ],
)
def test_a_streak_counts_once_it_is_longer_than_the_workflow_ever_was_silent(runs: str, streak: int) -> None:
    assert silent_streak([run == "l" for run in runs]) == streak


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 40))
def test_a_workflow_is_quiet_as_soon_as_it_logs(earlier: list[bool], silent: int) -> None:
    assert silent_streak([True, *[False] * silent, *earlier]) == 0


@given(st.integers(1, 20))
def test_what_lasted_as_long_before_is_never_told(ordinary: int) -> None:
    earlier = [True, *[False] * ordinary, True]
    assert all(silent_streak([False] * new + earlier) == 0 for new in range(ordinary + 1))
    assert silent_streak([False] * (2 * ordinary + 1) + earlier) == 2 * ordinary + 1


def working_days(until: datetime) -> list[datetime]:
    """Records from 8 to 18, Monday to Friday, in four weeks."""
    hours = [until - timedelta(hours=h) for h in range(24 * 28, 0, -1)]
    return [at for at in hours if at.weekday() < 5 and 8 <= at.hour < 18]


def test_a_log_that_stops_in_the_middle_of_the_day_is_told_when_a_weekend_would_be_over() -> None:
    heard = working_days(datetime(2026, 5, 20, 12, tzinfo=UTC))
    weekend = timedelta(hours=63) - WINDOW
    assert too_long(heard, WINDOW, heard[-1] + weekend) is None  # as every Monday morning
    assert too_long(heard, WINDOW, heard[-1] + 1.5 * weekend + WINDOW) is not None


def test_a_log_that_never_pauses_is_told_of_within_minutes() -> None:
    heard = [NOW - timedelta(days=8) + n * WINDOW for n in range(12 * 24 * 8)]
    assert too_long(heard, WINDOW, heard[-1] + timedelta(minutes=19)) is None
    assert too_long(heard, WINDOW, heard[-1] + timedelta(minutes=20)) == timedelta(minutes=15)


def test_nobody_can_tell_from_little_history() -> None:
    assert too_long([NOW - timedelta(days=2) + n * WINDOW for n in range(200)], WINDOW, NOW) is None
    assert too_long([NOW - timedelta(days=9), NOW - timedelta(days=1)], WINDOW, NOW) is None


def test_the_same_silence_is_the_same_finding_and_all_of_a_workflow_are_one_incident() -> None:
    first = gap_finding(SILENT_RUNS, "w", NOW, "3 runs", ["a", "b", "c"])
    longer = gap_finding(SILENT_RUNS, "w", NOW, "9 runs", list("abcdefghi"))
    later = gap_finding(SILENT_RUNS, "w", NOW + WINDOW, "3 runs", ["x"])
    calls = gap_finding(UNLOGGED_CALLS, "w", NOW, "calls", ["x"])
    assert first.key == longer.key
    assert len({first.key, later.key, calls.key}) == 3
    assert len({one.fingerprint for one in (first, longer, later, calls)}) == 1
    assert first.fingerprint != gap_finding(SILENT_RUNS, "v", NOW, "3 runs", ["a"]).fingerprint
    assert first.severity is Severity.HIGH
    assert longer.evidence[0].excerpt.endswith("…")
