"""Whatever happens to the log's files, each whole record is read exactly once and in order."""

import re
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firebreak.blocks.interaction_log import InteractionLog, Position
from firebreak.blocks.store import Aside
from tests.blocks.logs import ids, record, rotate, shift

MAX_LINE = 1000


class Following(RuleBasedStateMachine):
    """Writers, a log rotator and a reader that may die between reading and keeping its position."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "calls.log"
        self.log = InteractionLog(path=self.path, max_line_bytes=MAX_LINE)
        self.position: Position | None = None
        self.written: list[str] = []
        self.overlong: list[int] = []
        self.overlong_after: list[int] = []  # how many records had been written before each
        self.seen: list[str] = []
        self.aside: list[int] = []
        self.junk = 0
        self.copied: Path | None = None
        self.parked: Path | None = None

    def teardown(self) -> None:
        if self.parked:
            self.reappear()
        for _ in range(2):
            while not self.take(100_000, keep=True):
                pass
        shutil.rmtree(self.folder)
        assert self.seen == self.written
        assert self.aside == self.overlong

    @precondition(lambda self: not (self.copied or self.parked))
    @rule(prompt=st.text(max_size=60), times=st.integers(1, 4))
    def write(self, prompt: str, times: int) -> None:
        for _ in range(times):
            self.written.append(f"record-{len(self.written)}")
            self.log.append(record(self.written[-1], prompt))

    @precondition(lambda self: not (self.copied or self.parked))
    @rule(size=st.integers(MAX_LINE, 5 * MAX_LINE))
    def write_overlong(self, size: int) -> None:
        long = record(f"overlong-{len(self.overlong)}", "x" * size)
        self.log.append(long)
        self.overlong_after.append(len(self.written))
        self.overlong.append(len(long.model_dump_json(exclude_none=True)))

    @precondition(lambda self: not (self.copied or self.parked) and self.path.exists())
    @rule(share=st.floats(0.01, 0.99))
    def die_in_mid_line(self, share: float) -> None:
        """The torn piece is a line of its own once the next record has put a newline behind it."""
        line = record(f"torn-{self.junk}").model_dump_json(exclude_none=True).encode()
        with self.path.open("rb+") as file:
            whole = file.read()
            if not whole or whole.endswith(b"\n"):
                self.junk += 1
                file.write(line[: int(len(line) * share)])

    @precondition(lambda self: not (self.copied or self.parked))
    @rule()
    def rotate_by_rename(self) -> None:
        rotate(self.path)

    @precondition(lambda self: not (self.copied or self.parked) and self.path.exists())
    @rule(share=st.floats(0, 1))
    def begin_copytruncate(self, share: float) -> None:
        shift(self.path)
        self.copied = Path(f"{self.path}.1")
        whole = self.path.read_bytes()
        self.copied.write_bytes(whole[: int(len(whole) * share)])

    @precondition(lambda self: self.copied)
    @rule()
    def end_copytruncate(self) -> None:
        """Nobody writes between copy and truncation: what falls in there is lost to any reader."""
        assert self.copied
        shutil.copyfile(self.path, self.copied)
        self.path.write_bytes(b"")
        self.copied = None

    @precondition(lambda self: not (self.copied or self.parked) and self.path.exists())
    @rule()
    def disappear(self) -> None:
        self.parked = self.path.rename(self.folder / "elsewhere")

    @precondition(lambda self: self.parked)
    @rule()
    def reappear(self) -> None:
        assert self.parked
        self.parked.rename(self.path)
        self.parked = None

    @rule(max_bytes=st.sampled_from([1, 300, 2000, 100_000]), keep=st.booleans())
    def read(self, max_bytes: int, keep: bool) -> None:
        self.take(max_bytes, keep)

    @rule(max_bytes=st.sampled_from([1, 300, 2000, 100_000]), lines=st.integers(1, 12))
    def read_some_lines(self, max_bytes: int, lines: int) -> None:
        self.take(max_bytes, True, lines)

    def take(self, max_bytes: int, keep: bool, most: int | None = None) -> bool:
        chunk = self.log.read(self.position, max_bytes)
        if keep:  # otherwise the reader died before it kept anything, and reads the same again
            position, lines, asides = chunk.position, chunk.lines, chunk.set_aside
            whole = [n for n, line in enumerate(lines) if b'"record-' in line.data and ids([line.data])]
            if most and whole:  # nothing behind one of the records was taken
                line = lines[whole[:most][-1]]
                position, lines = chunk.after(line), lines[: lines.index(line) + 1]
                record = self.written.index(ids([line.data])[0])
                asides = [aside for aside in asides if self.overlong_after[number_of(aside)] <= record]
            self.position = Position.model_validate_json(position.model_dump_json())
            self.seen += [id for id in ids([line.data for line in lines]) if not id.startswith("torn")]
            self.aside += [aside.length for aside in asides]
        return chunk.at_end

    @invariant()
    def nothing_twice_or_out_of_order(self) -> None:
        assert self.seen == self.written[: len(self.seen)]


def number_of(aside: Aside) -> int:
    found = re.search(rb"overlong-(\d+)", aside.excerpt)
    assert found
    return int(found[1])


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
