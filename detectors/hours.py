"""Working hours: ``Mon-Fri 07:00-19:00, Sat 09:00-12:00 Europe/Berlin``, and whether a moment lies in them.

Ranges are separated by commas, one time zone (an IANA name, or UTC) stands at the end and is required. A range that
ends before it begins goes on past midnight and belongs to the day it began on. Clocks that are put forward or back
are the zone's own affair: what counts is what the clock on its wall shows.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MIDNIGHT = 24 * 60
_ALLOWED = "write them as `Mon-Fri 07:00-19:00, Sat 09:00-12:00 Europe/Berlin`"
_RANGE = re.compile(r"([A-Z][a-z]{2})(?:-([A-Z][a-z]{2}))? (\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True)
class Hours:
    """Minutes of each day of the week, ``(day, first, last + 1)``, as the clock in ``zone`` shows them."""

    ranges: frozenset[tuple[int, int, int]]
    zone: ZoneInfo

    def hold(self, moment: datetime) -> bool:
        """Whether an aware moment lies in them."""
        there = moment.astimezone(self.zone)
        day, minute = there.weekday(), there.hour * 60 + there.minute
        return any(on == day and first <= minute < end for on, first, end in self.ranges)


@lru_cache(maxsize=1_024)
def hours(text: str) -> Hours:
    """Errors: ValueError that says what is wrong and how to write it."""
    ranges, _, zone = text.strip().rpartition(" ")
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"hours {text!r}: {zone!r} is no time zone, which stands at the end; {_ALLOWED}") from None
    found: set[tuple[int, int, int]] = set()
    for each in ranges.split(","):
        found |= _range(each.strip(), text)
    return Hours(frozenset(found), place)


def _range(each: str, text: str) -> set[tuple[int, int, int]]:
    match = _RANGE.fullmatch(each)
    if match is None:
        raise ValueError(f"hours {text!r}: {each!r} is no range of days and times; {_ALLOWED}")
    first_day, last_day = match[1], match[2] or match[1]
    for day in (first_day, last_day):
        if day not in DAYS:
            raise ValueError(f"hours {text!r}: {day!r} is no day; allowed: {', '.join(DAYS)}")
    start, end = (_minute(match[at], match[at + 1], each, text) for at in (3, 5))
    if start in (end, _MIDNIGHT):
        raise ValueError(f"hours {text!r}: {each!r} holds no time; the whole day is 00:00-24:00")
    at = DAYS.index(first_day)
    days = [(at + n) % 7 for n in range((DAYS.index(last_day) - at) % 7 + 1)]
    if start < end:
        return {(day, start, end) for day in days}
    later = {((day + 1) % 7, 0, end) for day in days} if end else set()
    return {(day, start, _MIDNIGHT) for day in days} | later


def _minute(hour: str, minute: str, each: str, text: str) -> int:
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _MIDNIGHT:
        raise ValueError(f"hours {text!r}: {each!r} has a time that no clock shows; 00:00 to 24:00")
    return found
