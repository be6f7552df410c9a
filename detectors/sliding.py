"""Counting over a sliding window of event time, for one group of a correlation. Times are microseconds since 1970.

A ``Tally`` is fed events in any order and says when a window fills. What fills is spent: the window runs its full span
from its first event, further events within it belong to it, and the next one begins afterwards: one find per window.
An event is known by its id and time, and counts once. Events older than two spans before the newest arrival are let
go, so an event counts with all others as long as it comes at most one span late. Memory is bounded by the number that
is counted to. ``Settled`` is for counts that only a window that is over can tell (lt, lte, eq).
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SPENT_KEPT = 16  # spent windows remembered, so that what comes late or twice finds its window
ROOM = 4  # events kept, in times the number counted to


@dataclass(frozen=True)
class Filled:
    """A window in which the count was reached: its events' times, and the values or ids counted."""

    first: int
    last: int
    counted: tuple[str, ...]


@dataclass
class Tally:
    """Events of one group, or the different values among them (``of_values``), until ``needed`` are within ``span``."""

    needed: int
    span: int
    of_values: bool
    events: list[tuple[int, str]] = field(default_factory=list)  # in order; (time, id) or (time, value)
    spent: list[int] = field(default_factory=list)  # beginnings of windows that were filled, in order

    def add(self, time: int, what: str) -> Filled | None:
        """Take in one event: ``what`` is its id, or the value counted. The window that it fills, if any."""
        for began in self.spent:
            if began <= time < began + self.span:
                return None
        event, events = (time, what), self.events
        again = self.of_values and len(events) > 1 and events[-1][1] == what == events[-2][1]
        if again and events[-1][0] <= time <= events[-2][0] + self.span:  # the ordinary case of values
            events[-1] = event
            return None
        at = bisect_left(self.events, event)
        if self.events[at : at + 1] == [event]:
            return None
        self.events.insert(at, event)
        if self.of_values:
            self._thin(what)
        self._forget(time)
        filled = self._values(time) if self.of_values else self._events(event)
        if filled:
            insort(self.spent, filled.first)
            del self.spent[:-SPENT_KEPT]
            self.events = [e for e in self.events if not filled.first <= e[0] < filled.first + self.span]
        return filled

    def _events(self, event: tuple[int, str]) -> Filled | None:
        """The earliest window of ``needed`` events that holds this one."""
        at = bisect_left(self.events, event)
        for first in range(max(0, at - self.needed + 1), min(at, len(self.events) - self.needed) + 1):
            last = first + self.needed - 1
            if self.events[last][0] - self.events[first][0] < self.span:
                within = self.events[first : last + 1]
                return Filled(within[0][0], within[-1][0], tuple(what for _, what in within))
        return None

    def _values(self, time: int) -> Filled | None:
        """The earliest window of ``needed`` different values that holds an event of this time."""
        low = bisect_left(self.events, (time - self.span + 1, ""))
        near = self.events[low : bisect_left(self.events, (time + self.span, ""))]
        if len({what for _, what in near}) < self.needed:
            return None
        for start, (first, _) in enumerate(near):
            if first > time:
                break
            within = [e for e in near[start:] if e[0] - first < self.span]
            values = dict.fromkeys(what for _, what in within)
            if len(values) >= self.needed:
                return Filled(first, within[-1][0], tuple(values))
        return None

    def _thin(self, value: str) -> None:
        """Of one value's events within one span, those between the first and the last say nothing that these don't."""
        times = [time for time, what in self.events if what == value]
        needless = {times[n] for n in range(1, len(times) - 1) if times[n + 1] - times[n - 1] <= self.span}
        if needless:  # the newest of them only: two neighbours may need one another
            self.events.remove((max(needless), value))

    def _forget(self, time: int) -> None:
        """Let go what is too old to count with anything that comes in time; where there is no room, the farthest."""
        if self.events[0][0] < time - 2 * self.span:
            del self.events[: bisect_left(self.events, (time - 2 * self.span, ""))]
        while len(self.events) > ROOM * self.needed:
            self.events.pop(0 if time - self.events[0][0] >= self.events[-1][0] - time else -1)

    def as_json(self) -> list[Any]:
        return [self.events, self.spent]

    def load(self, body: list[Any]) -> None:
        self.events, self.spent = [(time, what) for time, what in body[0]], list(body[1])


@dataclass
class Settled:
    """One window after the other, each from the group's first event after the last; judged once it is over."""

    span: int
    most: int  # that need telling apart
    began: int | None = None
    ended: int = 0  # when the last window did: what is older comes too late
    last: int = 0
    counted: dict[str, None] = field(default_factory=dict)

    def add(self, time: int, what: str) -> None:
        """Take in one event of the window that is open, or that it opens; one from before it comes too late."""
        if self.began is None and time >= self.ended:
            self.began = time
        if self.began is not None and self.began <= time < self.began + self.span:
            self.last = max(self.last, time)
            if len(self.counted) < self.most:
                self.counted[what] = None

    def over(self, now: int) -> Filled | None:
        """The window that ended by ``now``, whatever it counted; None while it is open."""
        if self.began is None or now < self.began + self.span:
            return None
        over = Filled(self.began, self.last, tuple(self.counted))
        self.ended = self.began + self.span
        self.began, self.last, self.counted = None, 0, {}
        return over

    def as_json(self) -> list[Any]:
        return [self.began, self.ended, self.last, list(self.counted)]

    def load(self, body: list[Any]) -> None:
        names: Iterable[str] = body[3]
        self.began, self.ended, self.last = body[:3]
        self.counted = dict.fromkeys(names)
