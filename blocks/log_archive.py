"""A finished log: a file, an archive (.gz, .zst) or an object (s3://…), read once from its beginning to its end.

A position is an offset into the uncompressed bytes, so a scan that stopped is taken up where it was: what lies before
is decompressed once more and passed over. Memory stays the same however large the archive is or unpacks to.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import fsspec
import pyarrow

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.log_files import LogUnreadable
from firebreak.blocks.log_follower import EXCERPT, Chunk, Line, Piece, Place, Position
from firebreak.blocks.store import Aside
from firebreak.detectors.parsing import LineParser

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
READ_BYTES = 1_000_000


@dataclass
class ArchiveChunk(Chunk):
    """What one read of an archive gave."""

    def after(self, line: Line | Piece) -> Position:
        return _position(line.offset + len(line.data))


@dataclass
class LogArchive:
    """An archive of the log that ``log`` describes. Errors: LogUnreadable (it isn't there, or may not be read)."""

    url: str
    log: InteractionLog
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _stream: Any = field(default=None, init=False)
    _raw: Any = field(default=None, init=False)
    _lines: "_Lines | None" = field(default=None, init=False)

    @property
    def source(self) -> str:
        return f"archive:{self.url}"

    def parser(self) -> LineParser:
        return self.log.parser()

    def read(self, position: Position | None, max_bytes: int) -> ArchiveChunk:
        """Read on from ``position``. An archive that breaks off gives a notice, and what there was before."""
        offset = position.places[0].offset if position and position.places else 0
        if self._lines is None or self._lines.given != offset:
            self.close()
            self._open(offset)
        assert self._lines is not None
        chunk = ArchiveChunk(position or Position())
        data, ended = self._next(max_bytes, chunk.notices)
        chunk.read = list(self._lines.feed(data, ended))
        chunk.position, chunk.at_end = _position(self._lines.given), ended
        chunk.behind = 0 if ended else max(1, self._raw.size - self._raw.tell()) if hasattr(self._raw, "size") else 1
        return chunk

    def close(self) -> None:
        self._stack.close()
        self._stream = self._raw = self._lines = None

    def _open(self, offset: int) -> None:
        kind = next((kind for ending, kind in COMPRESSED.items() if self.url.endswith(ending)), None)
        try:
            self._raw = self._stack.enter_context(fsspec.open(self.url, "rb"))
        except ImportError as error:
            raise LogUnreadable(f"{self.url}: {error}; for s3 pip install 'firebreak[s3]'") from error
        except (OSError, ValueError) as error:
            raise LogUnreadable(f"{self.url}: {error or type(error).__name__}; name a file that can be read") from error
        self._stream = self._raw
        if kind:
            source = pyarrow.PythonFile(self._raw, mode="r")
            self._stream = self._stack.enter_context(pyarrow.CompressedInputStream(source, kind))
        self._lines = _Lines(self.url.rsplit("/", 1)[-1], offset, self.log.max_line_bytes)
        notices: list[str] = []
        while offset > 0 and not notices:
            skipped, ended = self._next(min(offset, READ_BYTES), notices)
            offset -= len(skipped)
            if ended:
                break

    def _next(self, length: int, notices: list[str]) -> tuple[bytes, bool]:
        """Up to ``length`` bytes, and whether that was all."""
        found: list[bytes] = []
        while length > 0:
            try:
                data = bytes(self._stream.read(min(length, READ_BYTES)))
            except (OSError, EOFError) as error:
                notices.append(f"{self.url} breaks off: {error}; what came before was read")
                return b"".join(found), True
            if not data:
                return b"".join(found), True
            found.append(data)
            length -= len(data)
        return b"".join(found), False


class _Lines:
    """Cuts a stream into whole lines; of a line that is too long, no more than its beginning is kept."""

    def __init__(self, name: str, offset: int, max_line: int) -> None:
        self.given = offset  # where the first line begins that was not given yet
        self._name, self._max = f"{name}#1", max_line
        self._rest, self._passed = b"", 0  # an unfinished line: its bytes, or its beginning and how long it is

    def feed(self, data: bytes, last: bool) -> Iterator[Piece | Aside]:
        data, self._rest = (self._rest + data, b"") if not self._passed else (data, self._rest)
        at = 0
        while at < len(data):
            if not self._passed and (end := self._end_of_short_lines(data, at, last)) > at:
                yield Piece(self.given, data[at:end], 1, self._name)
                self.given, at = self.given + end - at, end
                continue
            newline = data.find(b"\n", at)
            stop = len(data) if newline < 0 else newline
            if newline < 0 and not last and not self._passed and stop - at <= self._max:
                self._rest = data[at:]
                return
            self._rest = self._rest or data[at : at + EXCERPT]
            self._passed += stop - at
            at = stop + 1
            if newline >= 0 or last:
                yield self._aside()
        if last and self._passed:
            yield self._aside()

    def _end_of_short_lines(self, data: bytes, at: int, last: bool) -> int:
        while True:
            end = data.rfind(b"\n", at, at + self._max + 1) + 1
            if not end:
                return len(data) if last and at < len(data) <= at + self._max else at
            at = end

    def _aside(self) -> Aside:
        reason = f"{self._name}@{self.given}: line of {self._passed} bytes, longer than {self._max}"
        aside = Aside(offset=self.given, length=self._passed, reason=reason, excerpt=self._rest)
        self.given, self._rest, self._passed = self.given + self._passed + 1, b"", 0
        return aside


def _position(offset: int) -> Position:
    return Position(places=(Place(number=1, inode=0, offset=offset),), files=1, live=1)
