"""A block of lines scanned: what the rules find in them, what can't be read, and what statistics count of each.

Every line is decoded by types and held against all patterns at once; only those that may match, and those that the
fast reader isn't sure of, are parsed exactly and judged. Lines of other formats than ``json`` are all judged so.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from firebreak.detectors.allowlist import keep_back
from firebreak.detectors.correlations import Correlator
from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import Finding
from firebreak.detectors.json_line import storable
from firebreak.detectors.parsing import LineParser, MalformedLine
from firebreak.detectors.records import Record
from firebreak.detectors.rules import RuleSet
from firebreak.detectors.scan.call import Call, CallReader
from firebreak.detectors.scan.prefilter import Answer, Prefilter
from firebreak.detectors.second_opinion import Ask, corroborate
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import microseconds
from firebreak.detectors.usage.history import absorb
from firebreak.detectors.usage.outcome import declined, failed, never_made

EXCERPT = 200


@dataclass(frozen=True)
class Malformed:
    """A line that is no record."""

    offset: int
    length: int
    reason: str
    excerpt: bytes


@dataclass
class Found:
    """What the lines since the last commit came to."""

    lines: int = 0
    findings: list[Finding] = field(default_factory=list)
    allowed: Counter[str] = field(default_factory=Counter)  # findings kept back, by entry of the allow-list
    malformed: list[Malformed] = field(default_factory=list)
    users: set[tuple[str, str]] = field(default_factory=set)  # (token, user) of trusted records
    runs: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # flow run -> workflow, last call
    usage: UsageCounter = field(default_factory=UsageCounter)


class LineScan:
    """Scans the lines of one source. Not to be shared between threads.

    ``ask`` is a guard model's vote. ``fast=False`` judges every line exactly: what the fast way is measured and tested
    against.
    """

    def __init__(
        self,
        rules: RuleSet,
        parser: LineParser,
        source: str,
        correlator: Correlator | None = None,
        fast: bool = True,
        ask: Ask | None = None,
    ) -> None:
        self.found = Found()
        self._ask = ask
        self._rules, self._parser, self._source, self._correlator = rules, parser, source, correlator
        self._reader = CallReader(parser) if fast and CallReader.reads(parser) else None
        self._prefilter: Prefilter | None = None
        self._facts = Facts()

    def know(self, facts: Facts) -> None:
        """Judge by these facts from now on."""
        self._facts = facts.model_copy(update={"used_now": self.found.usage.uses})
        if self._prefilter and not self._prefilter.know(self._facts):
            self._prefilter = None

    def take(self) -> Found:
        """What was found since the last time; the next lines are counted anew."""
        found, self.found = self.found, Found()
        found.users = {(token, storable(user)) for token, user in found.users}
        found.runs = {storable(run): told for run, told in found.runs.items()}
        absorb(self._facts.history, found.usage.uses)
        self.know(self._facts)
        return found

    def scan(self, data: bytes, offset: int, name: str) -> None:
        """Take in the lines of ``data``, which begin at ``offset`` of the file called ``name``."""
        lines = data.split(b"\n")
        self.found.lines += len(lines) - lines.count(b"")
        if self._reader is None:
            for line in lines:
                if line:
                    self._judge(line, offset, name)
                offset += len(line) + 1
            return
        prefilter = self._prefilter = self._prefilter or Prefilter(self._rules, self._facts)
        read = self._reader.read
        calls = [read(line) if line else None for line in lines]
        for line, call, answer in zip(lines, calls, prefilter.ask(calls), strict=True):
            if line and (call is None or not self._passes(call, answer)):
                self._judge(line, offset, name)
            offset += len(line) + 1

    def _passes(self, call: Call, answer: Answer) -> bool:
        """Whether no rule can match the call; it is counted then."""
        if answer.judge or (answer.counted and not _named(call)):
            return False
        if answer.counted and self._correlator is not None:
            self._claim(self._correlator.feed(call, answer.counted), None)
        self._count(call)
        return True

    def _judge(self, line: bytes, offset: int, name: str) -> None:
        found = self.found
        try:
            record = self._parser.parse(line, f"{self._source}:{name}@{offset}")
        except MalformedLine as error:
            found.malformed.append(Malformed(offset, len(line), str(error), line[:EXCERPT]))
            return
        if record is None:
            return
        examined = self._rules.examine(record, self._facts)
        claims: Iterable[Finding] = examined.findings
        if self._correlator is not None and examined.counted:
            claims = [*claims, *self._correlator.feed(record, examined.counted)]
        self._claim([claim for claim in claims if claim.record_id == record.id], record)
        self._claim([claim for claim in claims if claim.record_id != record.id], None)  # a window of another's ended
        if record.trusted:
            self._count(record)

    def _claim(self, claims: Iterable[Finding], record: Record | None) -> None:
        """Keep what the allow-list doesn't keep back; a guard model is asked about what is short of corroboration."""
        left, kept = keep_back(claims, self._facts.allow, record)
        if left and record is not None and self._ask is not None:
            left = corroborate(left, record, self._ask)
        self.found.findings += left
        self.found.allowed += kept

    def _count(self, call: Call | Record) -> None:
        """What statistics keep of a trusted record, whether or not anything matched."""
        found, token, workflow = self.found, call.token_id, call.workflow or ""
        if token and call.user:
            found.users.add((token, call.user))
        if call.flow_run_id is not None:
            found.runs[call.flow_run_id] = (workflow, call.time)
        error, status, response = call.error, call.status, call.response
        if error is not None and never_made(error, response):
            return
        found.usage.add(
            microseconds(call.time),
            workflow,
            token,
            status,
            call.latency_ms,
            (call.prompt_tokens or 0) + (call.response_tokens or 0),
            call.cost,
            failed(error, status),
            declined(response),
            call.source_address,
        )


def _named(call: Call) -> bool:
    """Whether a correlation may count the call as it is: it has an id of its own, and names need no cleaning."""
    return call.id is not None and not any("\0" in name for name in (call.id, call.user, call.flow_run_id) if name)
