"""Whatever happens to the log's files, each call is in exactly one window, in order, with the labels it had by then."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firebreak.blocks import monitored_dataset
from tests.blocks.datasets import ROWS, call, label, log_of, names, read, watched
from tests.blocks.logs import ids, rotate, shift


class Watching(RuleBasedStateMachine):
    """Workflows, late labels, a log rotator that deletes what was judged, and a scan that may die before it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(monitored_dataset, "CHUNK_BYTES", 600)
        self.folder = Path(tempfile.mkdtemp())
        self.dataset = watched(self.folder)
        self.path = log_of(self.dataset).path
        self.position: Any = None
        self.calls = self.others = self.late = 0
        self.labels: dict[int, str] = {}
        self.seen: list[str] = []
        self.told: list[str | None] = []
        self.copied = False

    def teardown(self) -> None:
        while self.step(keep=True):
            pass
        self.everything_once_in_order()
        assert len(self.seen) == self.calls - self.calls % ROWS
        assert self.told == [self.labels.get(number) for number in range(len(self.told))]
        self.patch.undo()
        shutil.rmtree(self.folder)

    @precondition(lambda self: not self.copied)
    @rule(times=st.integers(1, 5), prompt=st.text(max_size=40))
    def write(self, times: int, prompt: str) -> None:
        for _ in range(times):
            call(self.dataset, self.calls, prompt=prompt)
            self.calls += 1

    @precondition(lambda self: not self.copied)
    @rule(times=st.integers(1, 5))
    def others_write(self, times: int) -> None:
        for _ in range(times):
            self.others += 1
            call(self.dataset, 5000 + self.others, workflow="another")

    @precondition(lambda self: self.calls and not self.copied)
    @rule(share=st.floats(0, 1))
    def write_a_label(self, share: float) -> None:
        number = int(share * (self.calls - 1))
        self.late += 1  # no two lines are the same: the follower takes a file that begins as another for its copy
        label(self.dataset, number, f"label {number}", flow_run_id=f"late {self.late}")
        if number // ROWS == self.calls // ROWS:  # its window isn't full yet
            self.labels[number] = f"label {number}"

    @precondition(lambda self: not self.copied)
    @rule()
    def rotate_by_rename(self) -> None:
        rotate(self.path)

    @precondition(lambda self: not self.copied)
    @rule()
    def delete_the_oldest(self) -> None:
        """A follower can't give what is deleted before it was taken: only files whose calls were."""
        rotated = sorted(self.path.parent.glob("calls.log.*"), key=lambda path: int(path.suffix[1:]))
        if rotated and {id for id in ids(rotated[-1].read_bytes().split(b"\n")) if id < "r5000"} <= {*self.seen}:
            rotated[-1].unlink()

    @precondition(lambda self: not self.copied and self.path.exists())
    @rule(share=st.floats(0, 1))
    def begin_copytruncate(self, share: float) -> None:
        shift(self.path)
        whole = self.path.read_bytes()
        Path(f"{self.path}.1").write_bytes(whole[: int(len(whole) * share)])
        self.copied = True

    @precondition(lambda self: self.copied)
    @rule()
    def end_copytruncate(self) -> None:
        shutil.copyfile(self.path, f"{self.path}.1")
        self.path.write_bytes(b"")
        self.copied = False

    @rule(keep=st.booleans())
    def scan(self, keep: bool) -> None:
        self.step(keep)

    def step(self, keep: bool) -> bool:
        reading = read(self.dataset, self.position)
        if keep:
            self.position = reading.position
            if reading.window is not None:
                self.seen += reading.window["id"].tolist()
                self.told += reading.window["feedback"].tolist()
        return reading.window is not None

    @invariant()
    def everything_once_in_order(self) -> None:
        assert self.seen == names(*range(len(self.seen)))


TestWatching = Watching.TestCase
TestWatching.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
