"""Block: the interaction log, one JSON line for each model call.

Lines are UTF-8, not ASCII with ``\\u`` escapes: grep, a log shipper's filter and a raw-byte scan see the text as
it was written. Newlines inside a text are still escaped, so one record is always one line.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from firebreak.blocks.log_files import LogError, LogUnreadable, LogUnwritable, opened
from firebreak.blocks.log_follower import Chunk, Line, Piece, Place, Position, follow
from firebreak.detectors.parsing import Format, LineParser, MalformedLine
from firebreak.detectors.records import Record


class InteractionLog(Block):
    """A log file of model calls, in Firebreak's own fields, OpenTelemetry's GenAI names or a team's."""

    _block_type_name = "Interaction Log"
    _block_type_slug = "interaction-log"
    _description = "The file to which AI workflows log their model calls, one JSON line each."

    path: Path = Field(description="the live log file; rotated ones beside it are found as path.1 or path-20240131")
    format: Format = Field(
        default="json",
        description="json: one object a line; plain: INFO:root:PROMPT: …; auto: either. "
        "Only json is trusted: in the others a newline in a prompt can forge a record",
    )
    field_map: dict[str, str] = Field(
        default_factory=dict, description="Firebreak's field to a team's dotted path: {prompt: req.body.text}"
    )
    workflow: str = Field(default="unnamed", description="workflow of records that don't name theirs")
    prompts_are_the_users: bool = Field(
        default=False,
        description="records without `parts` hold the user's own words only, no documents or tool answers pasted in: "
        "then a user may be quarantined for them",
    )
    rules: Path | None = Field(
        default=None, description="a folder of Sigma rules of your own, tried beside the shipped ones"
    )
    max_line_bytes: int = Field(default=1_000_000, ge=1000, description="longer lines are set aside unread")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        self.parser()  # a wrong field map is refused here, not in the middle of a scan
        return self

    @property
    def source(self) -> str:
        """The name under which the store keeps the position in this log."""
        return f"file:{os.path.abspath(self.path)}"

    def parser(self) -> LineParser:
        return LineParser(self.format, self.field_map, self.workflow, prompts_are_the_users=self.prompts_are_the_users)

    def append(self, record: Record) -> None:
        """Write one line, whole and after whatever was torn, however many processes do so. Errors: LogUnwritable."""
        text = record.model_copy(update={"time": record.time.astimezone(UTC)}).model_dump_json(exclude_none=True)
        line = text.encode() + b"\n"
        try:
            with self._locked() as fd:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    line = b"\n" + line  # a writer was killed in the middle of its line
                written = os.write(fd, line)
        except OSError as error:
            raise LogUnwritable(
                f"interaction log {self.path}: {error.strerror}; give this process a folder it can write"
            ) from error
        if written < len(line):
            raise LogUnwritable(f"interaction log {self.path}: {written} of {len(line)} bytes fitted; free some space")

    def read(self, position: Position | None = None, max_bytes: int = 4_000_000) -> Chunk:
        """Read on from ``position``; each whole line is given once. Errors: LogUnreadable."""
        return follow(self.path, position, max_bytes, self.max_line_bytes)

    def recent(self, until: datetime, since: datetime, max_bytes: int = 4_000_000) -> list[Record]:
        """Records of that time among the log's last ``max_bytes``, by time; unreadable lines are left out.

        Looks at the live file and the newest rotated one. Errors: LogUnreadable.
        """
        parser, records = self.parser(), []
        for data, where in self._tail(max_bytes):
            try:
                record = parser.parse(data, where)
            except MalformedLine:
                continue
            if record is not None and since <= record.time <= until:
                records.append(record)
        return sorted(records, key=lambda record: record.time)

    def _tail(self, max_bytes: int) -> Iterator[tuple[bytes, str]]:
        """Whole lines at the log's end, newest file first."""
        with opened(self.path) as files:
            for file in reversed(files[-2:]):
                start = max(0, file.size - max_bytes)
                data = file.read(start, file.size - start)
                max_bytes -= len(data)
                if start:
                    start, data = start + data.find(b"\n") + 1, data[data.find(b"\n") + 1 :]
                for line in data.split(b"\n"):
                    if len(line) <= self.max_line_bytes:
                        yield line, f"{file.name}@{start}"
                    start += len(line) + 1

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The live file, open for appending and locked; mode 0600 when it is new."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                os.fchmod(fd, 0o600)  # whatever the umask took away
            except FileExistsError:
                try:
                    fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue  # rotated away just now
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if self._is_live(fd):
                    yield fd
                    return
            finally:
                os.close(fd)

    def _is_live(self, fd: int) -> bool:
        """False when the file was renamed or removed before the lock was ours."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        except FileNotFoundError:
            return False


__all__ = [
    "Chunk",
    "InteractionLog",
    "Line",
    "LogError",
    "LogUnreadable",
    "LogUnwritable",
    "Piece",
    "Place",
    "Position",
]
