"""How far a scan has come that has much to catch up: a bar on a terminal, a progress artifact in a flow run."""

import sys
from time import monotonic
from types import TracebackType
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.runtime import flow_run
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

WORTH_SHOWING = 50_000_000  # bytes to catch up
EVERY_SECONDS = 2.0  # between two updates of the artifact


class ScanProgress:
    """Told after each step what is done and what is left; shows nothing while little is left. Use it with ``with``."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Progress | None = None
        self._artifact: UUID | None = None
        self._told = float("-inf")
        self._begun = 0

    def tell(self, done: int, left: int) -> None:
        """``done`` bytes since the scan began, ``left`` bytes that are there and wait."""
        if not self._shown:
            if left < WORTH_SHOWING:
                return
            self._begin(done)
        total = done - self._begun + left
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done - self._begun, total=total)
        if self._artifact and (monotonic() - self._told > EVERY_SECONDS or not left):
            update_progress_artifact(self._artifact, 100.0 * (done - self._begun) / total if total else 100.0)
            self._told = monotonic()
        if not left:
            self._end()

    def __enter__(self) -> "ScanProgress":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end()

    @property
    def _shown(self) -> bool:
        return self._bar is not None or self._artifact is not None

    def _begin(self, done: int) -> None:
        self._begun = done
        if flow_run.id:
            artifact = create_progress_artifact(0.0, description=f"Catching up with {self._what}")
            self._artifact = artifact if isinstance(artifact, UUID) else None
        if sys.stderr.isatty():
            columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
            self._bar = Progress(*columns, TimeRemainingColumn(), transient=True)
            self._bar.add_task(self._what, total=None)
            self._bar.start()

    def _end(self) -> None:
        if self._bar:
            self._bar.stop()
        self._bar = self._artifact = None
