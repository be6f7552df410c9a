"""Correlations over records and findings: counts in sliding windows of event time, one finding per group and window.

Two kinds, told apart by Sigma's ``generate``, so that nothing is counted twice and nothing falls between two counts:

- Without it the *records* are counted that match the base rules: by the scan, which reads every record of its log,
  those of the guard's calls among them. The scan of a log keeps one ``Correlator`` and feeds it what
  ``RuleSet.examine`` says is ``counted``. Base rules that look at light fields alone need no parsed record, and such
  a rule may well match every line.
- With ``generate: true`` the base rules raise findings of their own, and it is the *stored findings* that are counted,
  in the transaction that stores them, whoever found them: guard or scan. The same finding seen by both is stored once,
  so it counts once.

A group that has no value for a field it is grouped by isn't counted. Records that anyone could have forged are counted
apart, and what they add up to is low. Of a value that is seen all the time, the last time is known to a 64th of the
window: that keeps a value count over every line cheap. Kept at most: ``MOST_GROUPS`` groups, those fed last
(``forgotten`` says how many went), and of each group what ``sliding.py`` keeps.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from operator import attrgetter, eq, le, lt
from typing import Any

from firebreak.detectors.correlation_claims import Subject, claim_of_count, of_finding, of_record
from firebreak.detectors.findings import Finding, digest
from firebreak.detectors.rule import Correlation
from firebreak.detectors.sliding import Settled, Tally
from firebreak.detectors.usage.counts import microseconds

MOST_GROUPS = 10_000
RESOLUTION = 64  # a value is seen again at this share of the window at the latest; sooner, it costs one look-up
_HOLDS = {"lt": lt, "lte": le, "eq": eq}


@dataclass(frozen=True)
class Row:
    """One group's counts as the store keeps them; ``body`` is JSON-able."""

    rule: str
    group_key: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Changes:
    """What differs from what was kept last: rows to write, and keys (rule, group) of rows to drop."""

    rows: list[Row] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)


_Key = tuple[str, ...]  # rule, what sets the group apart, the values grouped by


class _Over:
    """A correlation, and what it reads of a record in one go: what it groups by, what it counts, trust."""

    def __init__(self, correlation: Correlation) -> None:
        counting = correlation.counting
        self.correlation = correlation
        self.read: Callable[[Any], tuple[Any, ...]] = attrgetter(*counting.group_by, counting.field or "id", "trusted")
        self.resolution = counting.seconds * 1_000_000 // RESOLUTION if counting.field and not counting.settles else 0
        self.seen: dict[tuple[Any, ...], int] = {}


@dataclass
class _Group:
    correlation: Correlation
    counts: Tally | Settled
    subject: Subject | None = None  # of the newest event, where the finding comes after it


class Correlator:
    """Feeds on matches, in any order; pure but for what it remembers. Not safe to share between threads.

    Where what it counted could not be written, make a new one from what the store holds, and read the chunk again.
    """

    def __init__(self, correlations: Sequence[Correlation], state: Iterable[Row] = (), log: str = "") -> None:
        """``log`` names the source of the records: two scans of two logs don't write to one another's groups."""
        self.forgotten = 0
        self._prefix = key_prefix(log)
        self._by_id = {correlation.id: correlation for correlation in correlations}
        self._records: dict[str, list[_Over]] = {}
        self._findings: dict[str, list[_Over]] = {}
        for correlation in correlations:
            fed, over = self._findings if correlation.counting.generate else self._records, _Over(correlation)
            for rule in correlation.counting.rules:
                fed.setdefault(rule, []).append(over)
        self._groups: dict[_Key, _Group] = {}
        self._changed: set[_Key] = set()
        self._ends: list[tuple[int, _Key]] = []
        for row in state:
            self._load(row)

    def feed(self, record: Any, hits: Iterable[str]) -> list[Finding]:
        """One record and the rules among ``RuleSet.examine(...).counted`` that matched it.

        ``record`` is a Record, or anything with its light fields: id, time, trusted and what correlations group by.
        """
        found: list[Finding] = []
        time: int | None = None
        for hit in hits:
            for over in self._records.get(hit, ()):
                if time is None:
                    time = microseconds(record.time)
                read = over.read(record)
                if over.resolution:  # the same value in the same group a moment ago: nothing changes
                    before = over.seen.get(read)
                    if before is not None and before <= time < before + over.resolution:
                        continue
                    if len(over.seen) >= MOST_GROUPS:
                        over.seen.clear()
                    over.seen[read] = time
                found += self._count(over.correlation, record, read, time)
        return found

    def feed_finding(self, finding: Finding) -> list[Finding]:
        """One finding that the store didn't hold before."""
        found: list[Finding] = []
        subject = of_finding(finding)
        for over in self._findings.get(finding.rule, ()):
            found += self._count(over.correlation, subject, over.read(subject), microseconds(subject.time))
        return found

    def keys(self, finding: Finding) -> list[tuple[str, str]]:
        """The (rule, group) of each group that this finding counts in."""
        subject, over = of_finding(finding), self._findings.get(finding.rule, ())
        read = ((each.correlation, each.read(subject)) for each in over)
        return [self._row_key(_place(each, subject, values)) for each, values in read if None not in values]

    def changed(self) -> Changes:
        """What to write beside the findings, since the last call."""
        there = [key for key in self._changed if key in self._groups]
        gone = [self._row_key(key) for key in self._changed if key not in self._groups]
        self._changed = set()
        return Changes([self._row(key) for key in there], gone)

    def state(self) -> list[Row]:
        """All that it remembers, the groups fed last at the end."""
        return [self._row(key) for key in self._groups]

    def _count(self, correlation: Correlation, record: Any, read: tuple[Any, ...], time: int) -> list[Finding]:
        """``read``: the values grouped by, the one counted, and whether the record is trusted."""
        if None in read:
            return []
        found = self._settle(time) if self._ends else []
        key, what = _place(correlation, record, read), read[-2]
        group = self._touch(key, correlation)
        if isinstance(group.counts, Tally):
            filled = group.counts.add(time, str(what))
            if filled:
                found.append(claim_of_count(correlation, key[2:], filled, _subject(record)))
        else:
            if group.counts.began is None and time >= group.counts.ended:
                heappush(self._ends, (time + group.counts.span, key))
            group.counts.add(time, str(what))
            group.subject = _subject(record)
        return found

    def _touch(self, key: _Key, correlation: Correlation) -> _Group:
        group = self._groups.pop(key, None)
        if group is None:
            group = _Group(correlation, _empty(correlation))
            if len(self._groups) >= MOST_GROUPS:
                oldest = next(iter(self._groups))
                del self._groups[oldest]
                self._changed.add(oldest)
                self.forgotten += 1
        self._groups[key] = group  # at the end: the one that was fed last
        self._changed.add(key)
        return group

    def _settle(self, now: int) -> list[Finding]:
        """Judge the windows that are over by the time of the record at hand, and open none."""
        found = []
        while self._ends and self._ends[0][0] <= now:
            _, key = heappop(self._ends)
            group = self._groups.get(key)
            if group is None or not isinstance(group.counts, Settled) or group.subject is None:
                continue
            ended = group.counts.over(now)
            if ended is None:
                continue
            self._changed.add(key)
            counting = group.correlation.counting
            if _HOLDS[counting.operator](len(ended.counted), counting.count):
                found.append(claim_of_count(group.correlation, key[2:], ended, group.subject))
        return found

    def _row(self, key: _Key) -> Row:
        group = self._groups[key]
        body = {
            "how": _how(group.correlation),
            "group": list(key[1:]),
            "counts": group.counts.as_json(),
            "subject": None if group.subject is None else group.subject.as_json(),
        }
        return Row(*self._row_key(key), body)

    def _row_key(self, key: _Key) -> tuple[str, str]:
        return key[0], self._prefix + digest(*key[1:])

    def _load(self, row: Row) -> None:
        """A row of a rule that is no more, or that counts otherwise now, is passed over."""
        correlation = self._by_id.get(row.rule)
        if correlation is None or row.body["how"] != _how(correlation):
            return
        key, counts = (row.rule, *row.body["group"]), _empty(correlation)
        counts.load(row.body["counts"])
        subject = row.body["subject"] and Subject.from_json(row.body["subject"])
        self._groups[key] = _Group(correlation, counts, subject)
        if isinstance(counts, Settled) and counts.began is not None:
            heappush(self._ends, (counts.began + counts.span, key))


def _place(correlation: Correlation, record: Any, read: tuple[Any, ...]) -> _Key:
    """The key of the group that a record belongs to."""
    apart = "" if record.trusted else "forged"
    if isinstance(record, Subject) and not record.attributed:
        apart += "unattributed"  # findings on words that may not be the user's own
    return (correlation.id, apart, *map(str, read[:-2]))


def key_prefix(log: str) -> str:
    """How the keys of the groups of one log begin; of stored findings, whatever log they are from: with nothing."""
    return f"{digest(log)[:12]}:" if log else ""


def _empty(correlation: Correlation) -> Tally | Settled:
    counting = correlation.counting
    span = counting.seconds * 1_000_000
    if counting.settles:
        return Settled(span, counting.needed)
    return Tally(counting.needed, span, counting.field is not None)


def _how(correlation: Correlation) -> str:
    """Changes where the file does, so that counts of another meaning are not gone on with."""
    return digest(repr(correlation.counting))


def _subject(record: Any) -> Subject:
    return record if isinstance(record, Subject) else of_record(record)
