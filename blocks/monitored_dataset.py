"""Block: a dataset watched for drift: its spec, and its rows from an interaction log, a CSV or a Parquet file."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field

from firebreak.blocks.interaction_log import InteractionLog, Position
from firebreak.detectors.drift.spec import SHIPPED, DatasetSpec, read_spec
from firebreak.detectors.parsing import MalformedLine
from firebreak.detectors.records import Record

if TYPE_CHECKING:
    import pandas as pd

CHUNK_BYTES = 1_000_000
LONGEST_HISTORY = 100_000  # rows that `frame` keeps of a log, newest last


class Reading(BaseModel):
    """What one read gave: a whole window, or None when it isn't full yet; and the place after it."""

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

    def definition(self) -> DatasetSpec:
        """Errors: SpecError; ValueError where the spec's source is a log and the block names none."""
        spec = read_spec(self.spec or SHIPPED)
        if spec.source.type == "interaction-log" and self.log is None:
            raise ValueError(f"dataset {spec.dataset}: its source is an interaction log; set `log` on this block")
        return spec

    def read_on(self, position: dict[str, Any] | None, rows: int) -> Reading:
        """The next ``rows`` rows after ``position``. Errors: LogUnreadable, FrameError, SpecError."""
        spec = self.definition()
        if spec.source.type != "interaction-log":
            return self._table_on(spec, position, rows)
        from firebreak.detectors.drift.frames import frame_of

        records, after = list[Record](), position
        for record, place in self._records(spec, position):
            if record.response is None:
                continue  # a label that came later: it belongs to a call of an earlier window
            records.append(record)
            if len(records) == rows:
                after = place
                break
        if len(records) < rows:
            return Reading(window=None, position=position, waiting=len(records))
        return Reading(window=frame_of(records), position=after, waiting=0)

    def frame(self, since: datetime | None = None, limit: int = LONGEST_HISTORY) -> "pd.DataFrame":
        """The newest ``limit`` rows since then, by time. Reads the whole source. Errors as ``read_on``."""
        from firebreak.detectors.drift import frames

        spec = self.definition()
        if spec.source.type == "interaction-log":
            newest = deque((record for record, _ in self._records(spec, None)), maxlen=limit)
            table = frames.frame_of(newest)
            table = table[table["response_length"].notna()]  # labels whose call is further back than `limit`
        else:
            table = frames.read_table(spec)
        if since is not None:
            table = table[table[spec.time] >= since]
        return table.tail(limit).reset_index(drop=True)

    def _table_on(self, spec: DatasetSpec, position: dict[str, Any] | None, rows: int) -> Reading:
        from firebreak.detectors.drift.frames import read_table

        table, done = read_table(spec), int((position or {}).get("rows", 0))
        left = len(table) - done
        if left < rows:
            return Reading(window=None, position=position, waiting=max(left, 0))
        window = table.iloc[done : done + rows].reset_index(drop=True)
        return Reading(window=window, position={"rows": done + rows}, waiting=0)

    def _records(self, spec: DatasetSpec, position: dict[str, Any] | None) -> Iterator[tuple[Record, dict[str, Any]]]:
        """The workflow's trusted records that got an answer, each with the place after it.

        A window seldom ends where a chunk does: the place is the chunk's beginning and the last line taken.
        """
        assert self.log is not None, "definition() has seen to it"
        parser = self.log.parser()
        begin = Position.model_validate(position["log"]) if position else None
        last = position["last"] if position else None
        while True:
            chunk = self.log.read(begin, CHUNK_BYTES)
            lines = chunk.lines
            seen = next((n for n, line in enumerate(lines) if line.where == last), None)
            for line in lines if seen is None else lines[seen + 1 :]:
                try:
                    record = parser.parse(line.data, f"{self.log.source}:{line.where}")
                except MalformedLine:
                    continue  # the log scan counts these and keeps them aside
                if record is None or record.workflow != spec.workflow or not record.trusted or record.error:
                    continue
                yield record, {"log": (begin or Position()).model_dump(mode="json"), "last": line.where}
            if chunk.at_end or chunk.position == begin:
                return
            begin, last = chunk.position, None
