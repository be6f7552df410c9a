"""Block: a dataset watched for drift: its spec, and its rows from an interaction log, a CSV or a Parquet file."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from firebreak.blocks.interaction_log import Chunk, InteractionLog, Line, Position
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.detectors.drift.columns import COLUMNS
from firebreak.detectors.drift.spec import SHIPPED, DatasetSpec, read_spec
from firebreak.detectors.parsing import MalformedLine
from firebreak.detectors.records import Record

if TYPE_CHECKING:
    import pandas as pd

CHUNK_BYTES = 1_000_000
LONGEST_HISTORY = 100_000  # rows that `frame` keeps of a log, newest last


class Reading(BaseModel):
    """What one read gave: a whole window, or None when it isn't full yet; and where to read on.

    That is after the window; or, without one, after what holds nothing of the dataset: worth keeping as well.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    window: Any = Field(description="pandas DataFrame of the spec's window.rows rows, by time; or None")
    position: dict[str, Any] | None
    waiting: int = Field(description="rows that wait for their window to fill")


class MonitoredDataset(Block):
    """Rows of one dataset, window by window. Which columns, and what counts as drift, the spec says."""

    _block_type_name = "Monitored Dataset"
    _block_type_slug = "monitored-dataset"
    _description = "A dataset that Firebreak watches for drift: a spec, and where its rows come from."

    spec: Path | None = Field(default=None, description="the spec's YAML file; none: the shipped support-tickets spec")
    log: InteractionLog | None = Field(default=None, description="the log, for specs whose source is interaction-log")
    reports: Path | None = Field(default=None, description="folder in which Evidently's pages are kept; none: not kept")
    registry: ModelRegistry | None = Field(
        default=None,
        description="the registry of the model whose predictions this dataset holds; "
        "none: no versions are compared, nothing is retrained or rolled back",
    )

    _table: tuple[Any, Any] | None = PrivateAttr(default=None)  # a table read, and what it was read from

    def definition(self) -> DatasetSpec:
        """Errors: SpecError; ValueError where the spec's source is a log, and the block names none or can't fill it."""
        spec = read_spec(self.spec or SHIPPED)
        if spec.source.type == "interaction-log":
            if self.log is None:
                raise ValueError(f"dataset {spec.dataset}: its source is an interaction log; set `log` on this block")
            _of_records(spec)
        return spec

    def read_on(self, position: dict[str, Any] | None, rows: int) -> Reading:
        """The next ``rows`` rows after ``position``; a position in another kind of source counts as none.

        What comes too late stays out. Of a log: a label (a line with its call's id and ``feedback``) that was written
        after the last call of that call's window. Of a table: a row that isn't after the last one taken, by time, then
        id.

        Errors: LogUnreadable, FrameError, SpecError, ValueError as ``definition``.
        """
        spec = self.definition()
        return (self._log_on if spec.source.type == "interaction-log" else self._table_on)(spec, position, rows)

    def frame(self, limit: int = LONGEST_HISTORY) -> "pd.DataFrame":
        """The newest ``limit`` rows, by time. Reads the whole source. Errors as ``read_on``."""
        spec = self.definition()
        if spec.source.type == "interaction-log":
            from firebreak.detectors.drift.frames import frame_of

            found = (record for chunk in self._chunks(None) for record, _ in self._records(spec, chunk))
            table = frame_of(deque(found, maxlen=limit))
            table = table[table["response_length"].notna()]  # labels whose call is further back than `limit`
        else:
            table = self._read(spec)
        return table.tail(limit).reset_index(drop=True)

    def _log_on(self, spec: DatasetSpec, position: dict[str, Any] | None, rows: int) -> Reading:
        from firebreak.detectors.drift.frames import frame_of

        found, calls = list[Record](), set[str]()
        for chunk in self._chunks(position):
            for record, line in self._records(spec, chunk):
                if record.response is not None:
                    calls.add(record.id)
                elif record.id not in calls:
                    continue  # a label that came later, of a call in an earlier window
                found.append(record)
                if len(calls) == rows:
                    return Reading(window=frame_of(found), position=_kept(chunk.after(line)), waiting=0)
            if not calls:
                position = _kept(chunk.position)
        return Reading(window=None, position=position, waiting=len(calls))

    def _chunks(self, position: dict[str, Any] | None) -> Iterator[Chunk]:
        """The log from there to its present end."""
        assert self.log is not None, "definition() has seen to it"
        begin = Position.model_validate(position["log"]) if position and "log" in position else None
        while True:
            chunk = self.log.read(begin, CHUNK_BYTES)
            yield chunk
            if chunk.at_end or chunk.position == begin:
                return
            begin = chunk.position

    def _records(self, spec: DatasetSpec, chunk: Chunk) -> Iterator[tuple[Record, Line]]:
        """The workflow's trusted records without an error, each with its line."""
        assert self.log is not None, "definition() has seen to it"
        parser = self.log.parser()
        for line in chunk.lines:
            try:
                record = parser.parse(line.data, f"{self.log.source}:{line.where}")
            except MalformedLine:
                continue  # the log scan counts these and keeps them aside
            if record is not None and record.workflow == spec.workflow and record.trusted and not record.error:
                yield record, line

    def _table_on(self, spec: DatasetSpec, position: dict[str, Any] | None, rows: int) -> Reading:
        table, start = self._read(spec), 0

        def key(row: int) -> tuple[datetime, bool, str]:  # the order of `read_table`: an empty id comes last
            label = table[spec.id].iloc[row]
            return table[spec.time].iloc[row], label is None, label or ""

        everything = range(len(table))
        if position and "time" in position:
            label = position["id"]
            last = (datetime.fromisoformat(position["time"]), label is None, label or "")
            start = bisect_left(everything, last, key=key) + position["same"]
            start = min(start, bisect_right(everything, last, key=key))
        stop = start + rows
        if stop > len(table):
            return Reading(window=None, position=position, waiting=len(table) - start)
        last = key(stop - 1)
        same = stop - bisect_left(everything, last, key=key)  # rows of that time and id that were taken
        after = {"time": last[0].isoformat(), "id": table[spec.id].iloc[stop - 1], "same": same}
        return Reading(window=table.iloc[start:stop].reset_index(drop=True), position=after, waiting=0)

    def _read(self, spec: DatasetSpec) -> "pd.DataFrame":
        """The table, parsed again only when its file is another than last time."""
        from firebreak.detectors.drift.frames import read_table

        assert spec.source.path is not None, "the spec has seen to it"
        try:
            status = spec.source.path.stat()
        except OSError:
            return read_table(spec)  # which says what is wrong
        read_from = (spec, status.st_ino, status.st_mtime_ns, status.st_size)
        if self._table is None or self._table[0] != read_from:
            self._table = (read_from, read_table(spec))
        return self._table[1]


def _kept(position: Position) -> dict[str, Any]:
    return {"log": position.model_dump(mode="json")}


def _of_records(spec: DatasetSpec) -> None:
    """Errors: ValueError where the spec asks for what no interaction log holds."""
    for key, name, allowed in (("id", spec.id, "id"), ("time", spec.time, "time"), ("text", spec.text, "text or null")):
        if name is not None and name != key:
            raise ValueError(f"dataset {spec.dataset}: {key}: an interaction log has no {name!r}; allowed: {allowed}")
    for name in spec.columns:
        if name not in COLUMNS:
            allowed = ", ".join(column for column in COLUMNS if column not in ("id", "time", "text"))
            raise ValueError(f"dataset {spec.dataset}: columns: an interaction log has no {name!r}; allowed: {allowed}")
