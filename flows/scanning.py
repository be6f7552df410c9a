"""One step of the log scan: read a chunk, parse, inspect, write everything in one transaction."""

from dataclasses import dataclass, field
from time import monotonic

from firebreak.blocks.interaction_log import InteractionLog, Position
from firebreak.blocks.store import Aside, Batch, Lease, Report, Store
from firebreak.detectors.parsing import MalformedLine
from firebreak.detectors.rules import RuleSet

CHUNK_BYTES = 64_000  # one transaction: a log full of matches must not keep other writers waiting for long
FACTS_SECONDS = 2.0  # the token register and canaries are read again this often


@dataclass
class Step:
    """What one chunk came to."""

    report: Report
    notices: list[str]
    at_end: bool


@dataclass
class Scanner:
    """Follows one log under one lease. The position moves only together with what was found."""

    store: Store
    log: InteractionLog
    rules: RuleSet
    lease: Lease
    lines: int = 0
    aside: int = 0
    found: int = 0
    _facts_at: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self._parser = self.log.parser()
        saved = self.store.position(self.log.source)
        self._position = Position.model_validate(saved) if saved else None

    def step(self) -> Step:
        """Errors: LeaseLost, StoreUnavailable (nothing was written, the position stands)."""
        chunk = self.log.read(self._position, CHUNK_BYTES)
        if chunk.position == self._position and not chunk.lines and not chunk.set_aside:
            return Step(Report(), chunk.notices, chunk.at_end)
        if monotonic() - self._facts_at > FACTS_SECONDS:
            self._facts, self._facts_at = self.store.facts(), monotonic()
        batch = Batch(
            source=self.log.source,
            position=chunk.position.model_dump(mode="json"),
            set_aside=list(chunk.set_aside),
            lease=(self.lease.name, self.lease.owner),
        )
        for line in chunk.lines:
            try:
                record = self._parser.parse(line.data, f"{self.log.source}:{line.where}")
            except MalformedLine as error:
                batch.set_aside.append(
                    Aside(offset=line.offset, length=len(line.data), reason=str(error), excerpt=line.data[:200])
                )
                continue
            if record is None:
                continue
            if record.trusted and record.token_id and record.user:
                batch.token_users.add((record.token_id, record.user))
            batch.findings.extend(self.rules.inspect(record, self._facts))
        report = self.store.report(batch, "scan-logs")
        self._position = chunk.position
        self.lines += len(chunk.lines)
        self.aside += len(batch.set_aside)
        self.found += report.new
        return Step(report, chunk.notices, chunk.at_end)

    @property
    def progress(self) -> str:
        return f"{self.lines} lines read, {self.found} new findings, {self.aside} lines set aside"
