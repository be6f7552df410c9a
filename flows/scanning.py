"""The log scan, step by step: read, judge, and write what was found in one transaction with the position after it."""

from dataclasses import dataclass, field
from time import monotonic

from firebreak.blocks.interaction_log import Chunk, InteractionLog, Piece, Position
from firebreak.blocks.log_archive import LogArchive
from firebreak.blocks.store import Aside, Batch, Lease, Report, Store
from firebreak.detectors.correlations import Correlator
from firebreak.detectors.rules import RuleSet
from firebreak.detectors.scan.lines import Found, LineScan
from firebreak.detectors.second_opinion import Ask

CHUNK_BYTES = 8_000_000  # read at once where there is much to catch up
BLOCK_BYTES = 64_000  # judged at once
MOST_FINDINGS = 100  # written in one transaction, give or take a block's: others wait for the store meanwhile
MOST_SECONDS = 2.0  # between two transactions
ASK_SECONDS = 1.0  # that a guard model may take of one step: what is found waits for it, and so do quarantines
FACTS_SECONDS = 2.0  # the token register and canaries are read again this often


@dataclass
class Step:
    """What one transaction came to."""

    report: Report
    notices: list[str]
    at_end: bool


@dataclass
class Scanner:
    """Scans one log under one lease. The position moves only together with what was found."""

    store: Store
    log: InteractionLog | LogArchive
    rules: RuleSet
    lease: Lease
    ask: Ask | None = None
    """A guard model's vote on what is found."""
    lines: int = 0
    aside: int = 0
    found: int = 0
    allowed: int = 0
    bytes: int = 0
    behind: int = 0
    """Bytes of the log that were there at the last look and are not scanned yet."""
    _facts_at: float = field(default=float("-inf"), init=False)
    _stale: bool = field(default=False, init=False)
    _asks_until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        saved = self.store.position(self.log.source)
        self._position = Position.model_validate(saved) if saved else None
        self._start_over()

    def step(self) -> Step:
        """Scan on, up to what one transaction is for.

        Errors: LeaseLost, StoreUnavailable (nothing was written, the position stands), LogUnreadable.
        """
        if self._stale:
            self._start_over()
        self._stale = True  # until this step has ended well: what it counted is worth nothing otherwise
        step = self._step()
        self._stale = False
        return step

    def _start_over(self) -> None:
        """Forget what was read and counted and not written."""
        self._chunk: Chunk | None = None
        self._todo: list[Piece | Aside] = []
        over = self.rules.over_records
        self._correlator = Correlator(over, self.store.correlations.load(over, self.log.source), self.log.source)
        self._scan = LineScan(self.rules, self.log.parser(), self.log.source, self._correlator, ask=self._ask)
        self._facts_at = float("-inf")
        self._history = self.store.usage.uses()  # of tokens; the scan goes on with it itself

    def _step(self) -> Step:
        chunk, notices = self._chunk, []
        if chunk is None:
            chunk = self._chunk = self.log.read(self._position, CHUNK_BYTES)
            notices = chunk.notices
            self._todo = [part for piece in reversed(chunk.read) for part in _parts(piece)]
            if chunk.position == self._position and not self._todo:
                self._chunk, self.behind = None, 0
                return Step(Report(), notices, chunk.at_end)
        if monotonic() - self._facts_at > FACTS_SECONDS:
            self._scan.know(self.store.facts().model_copy(update={"history": self._history}))
            self._facts_at = monotonic()
        position, asides, read = self._take_in(chunk)
        found = self._scan.take()
        batch = self._batch(found, position)
        batch.set_aside += asides
        report = self.store.report(batch, "scan-logs")
        self._position = position
        self.lines += found.lines
        self.aside += len(batch.set_aside)
        self.found += report.new
        self.allowed += sum(found.allowed.values())
        self.bytes += read
        at_end = chunk.at_end and not self._todo
        self.behind = chunk.behind + sum(len(part.data) for part in self._todo if isinstance(part, Piece))
        if not self._todo:
            self._chunk = None
        return Step(report, notices, at_end)

    def _take_in(self, chunk: Chunk) -> tuple[Position, list[Aside], int]:
        """Scan parts of the chunk until there is enough for one transaction; the position then, and bytes read."""
        ends, asides, read = monotonic() + MOST_SECONDS, [], 0
        self._asks_until = monotonic() + ASK_SECONDS
        while self._todo:
            part = self._todo.pop()
            if isinstance(part, Aside):
                asides.append(part)
                continue
            self._scan.scan(part.data, part.offset, part.name)
            read += len(part.data)
            if self._todo and (len(self._scan.found.findings) >= MOST_FINDINGS or monotonic() > ends):
                return chunk.after(part), asides, read
        return chunk.position, asides, read

    def _ask(self, text: str) -> bool | None:
        """The guard model's vote, while this step has time for it."""
        return self.ask(text) if self.ask is not None and monotonic() < self._asks_until else None

    def _batch(self, found: Found, position: Position) -> Batch:
        """What an archive holds is past: it says nothing of who uses a token now, or of what is usual."""
        live = isinstance(self.log, InteractionLog)
        return Batch(
            findings=found.findings,
            token_users=found.users if live else set(),
            set_aside=[Aside(line.offset, line.length, line.reason, line.excerpt) for line in found.malformed],
            source=self.log.source,
            position=position.model_dump(mode="json"),
            lease=(self.lease.name, self.lease.owner),
            allowed=dict(found.allowed),
            usage=found.usage if live else None,
            runs_logged=found.runs if live else {},
            over_findings=self.rules.over_findings,
            correlations=self._correlator.changed(),
        )

    @property
    def progress(self) -> str:
        return (
            f"{self.lines} lines read, {self.found} new findings, {self.allowed} kept back by the allow-list, "
            f"{self.aside} lines set aside, "
            f"scan_lag {self.behind} bytes"
        )


def _parts(piece: Piece | Aside) -> list[Piece | Aside]:
    """The piece in blocks, the last first."""
    return [piece] if isinstance(piece, Aside) else list[Piece | Aside](piece.parts(BLOCK_BYTES))[::-1]
