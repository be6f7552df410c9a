"""Following a log through rotation, truncation and disappearance, from a position that outlives the process.

Each file of the log has a place: how far it was read, and a mark of the bytes up to there. A renamed file is
known by inode and mark, a copy of a truncated one by its mark. A file once known keeps its place, so a writer
that still holds a rotated file is read too. What no follower can see: lines that copytruncate drops between its
copy and its truncation, lines unread when a file is deleted, compressed or truncated without a copy, and a
rotated file whose whole content another file begins with. A live log cut to a shorter length, or copied onto
itself under a new inode, is read again from its beginning (findings are keyed by record, so nothing doubles).
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from firebreak.blocks.log_files import MARKED, LogFile, opened
from firebreak.blocks.store import Aside

GONE_KEPT = 16  # places of files no longer there that are remembered, in case they come back
EXCERPT = 200


class Place(BaseModel):
    """How far one file was read. ``number`` counts the log's files and names this one for good."""

    number: int
    inode: int
    offset: int = 0
    mark: str = ""
    overlong: int | None = None  # where the overlong line began in whose middle ``offset`` is


class Position(BaseModel):
    """How far the log was read; JSON-able, to be kept in the transaction that keeps what was found."""

    places: tuple[Place, ...] = ()
    files: int = 0
    live: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline. ``where`` (log#file@offset) stays the same through rotations."""

    offset: int
    data: bytes
    where: str
    file: int  # the number of its place


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of one file, one after another, none too long; ``data`` ends with a newline, or with the file."""

    offset: int
    data: bytes
    file: int  # the number of its place
    name: str  # log#file

    def lines(self) -> Iterator[Line]:
        offset = self.offset
        for data in self.data.removesuffix(b"\n").split(b"\n"):
            yield Line(offset, data, f"{self.name}@{offset}", self.file)
            offset += len(data) + 1

    def parts(self, length: int) -> Iterator["Piece"]:
        """The same lines in pieces of about ``length`` bytes, at least one line each."""
        at = 0
        while at < len(self.data):
            end = self.data.rfind(b"\n", at, at + length) + 1 or self.data.find(b"\n", at) + 1 or len(self.data)
            yield Piece(self.offset + at, self.data[at:end], self.file, self.name)
            at = end


class _Kept(LogFile):
    """What is kept of a file, once it is closed, to mark it after any line of a chunk: its head, and what was read."""

    def __init__(self, file: LogFile, start: int, data: bytes) -> None:
        self.inode, self._head, self._start, self._data = file.inode, file.read(0, MARKED), start, data

    def read(self, offset: int, length: int) -> bytes:
        data, at = (self._data, offset - self._start) if offset else (self._head, 0)
        return data[at : at + length]


@dataclass
class Chunk:
    """What one read gave. ``at_end``: there was nothing more to read just then."""

    position: Position
    read: list[Piece | Aside] = field(default_factory=list)  # in the log's order
    notices: list[str] = field(default_factory=list)
    at_end: bool = True
    behind: int = 0  # bytes of the log's files that were there and are not read yet
    began: Position = field(default_factory=Position)
    files: dict[int, _Kept] = field(default_factory=dict, repr=False)  # those that gave anything, in that order

    @property
    def lines(self) -> list[Line]:
        return [line for piece in self.read if isinstance(piece, Piece) for line in piece.lines()]

    @property
    def set_aside(self) -> list[Aside]:
        return [aside for aside in self.read if isinstance(aside, Aside)]

    def after(self, line: Line | Piece) -> Position:
        """The position just after one of this chunk's lines: whatever came after it is read again from there."""
        places = {place.number: place for place in self.position.places}
        order = list(self.files)
        for number in order[order.index(line.file) + 1 :]:
            del places[number]
        places |= {place.number: place for place in self.began.places if place.number not in places}
        whole = line.data if line.data.endswith(b"\n") else line.data + b"\n"
        file, end = self.files[line.file], min(line.offset + len(whole), places[line.file].offset)
        places[line.file] = Place(number=line.file, inode=file.inode, offset=end, mark=file.mark(end))
        kept = tuple(sorted(places.values(), key=lambda place: place.number))
        return Position(places=kept, files=max(self.began.files, *places), live=self.position.live)


def follow(path: Path, position: Position | None, max_bytes: int, max_line: int) -> Chunk:
    """Read on from ``position`` (None: all there is, oldest file first), about ``max_bytes``, whole lines only."""
    before = position or Position()
    with opened(path) as files:
        found = _match(files, before)
        live = next((n for n, f in found.items() if f.live), None)
        chunk = Chunk(Position(live=live), notices=_notices(path, position, found, live), began=before)
        kept = [place for place in before.places if place.number not in found][-GONE_KEPT:]
        places = {place.number: place for place in before.places}
        left = max_bytes
        for number in sorted(found, key=lambda n: (found[n].live, n)):
            file = found[number]
            place = places.get(number) or Place(number=number, inode=file.inode)
            if left > 0:
                over = not file.live and any(f.size for n, f in found.items() if f.live or n > number)
                after = _Reader(path.name, file, place, max(left, max_line + 1), max_line, over).into(chunk)
                left = left - (after.offset - place.offset) if chunk.at_end else 0
                place = after
            else:
                chunk.at_end = False
            chunk.behind += max(0, file.size - place.offset)
            if place.offset:  # until something of it was read, a file needs no place: it would hide a copy
                kept.append(place)
    chunk.position.places = tuple(sorted(kept, key=lambda p: p.number))
    chunk.position.files = max([before.files, *(place.number for place in kept)])
    return chunk


def beginning(path: Path, known: Position) -> Position:
    """The position before all there still is, each file under the number by which ``known`` knows it.

    Records without an id of their own are then read again under the same one.
    """
    with opened(path) as files:
        found = _match(files, known)
        places = tuple(Place(number=number, inode=file.inode) for number, file in sorted(found.items()))
        live = next((number for number, file in found.items() if file.live), None)
    return Position(places=places, files=max([known.files, *found]), live=live)


def _match(files: list[LogFile], before: Position) -> dict[int, LogFile]:
    """Which file has which place; a new file gets the next number."""
    found: dict[int, LogFile] = {}
    places = sorted(before.places, key=lambda place: -place.offset)

    def take(file: LogFile, same_inode: bool) -> bool:
        for place in places:
            if place.number in found or file.size < place.offset or same_inode != (file.inode == place.inode):
                continue
            if file.mark(place.offset) == place.mark:
                found[place.number] = file
                return True
        return False

    unknown = [file for file in files if not take(file, same_inode=True)]
    unknown = [file for file in unknown if file.live or not take(file, same_inode=False)]
    seen = [*found.values(), *(file for file in unknown if file.live)]
    numbered = before.files
    for file in unknown:
        if not file.live:
            if not file.size or any(file.is_copy_of(other) for other in seen):
                continue  # empty, or a copy being made: it gets the original's place once that is truncated
            seen.append(file)
        numbered += 1
        found[numbered] = file
    return found


def _notices(path: Path, position: Position | None, found: dict[int, LogFile], live: int | None) -> list[str]:
    if position is None:
        return [] if live else [f"{path} is not there yet: waiting for it"]
    last = next((place for place in position.places if place.number == position.live), None)
    if last is None or last.number in found:
        return []
    what = "truncated or replaced" if live else "removed"
    return [f"{path} was {what} after byte {last.offset}: what had not been read by then is gone"]


class _Reader:
    """Reads one file on from its place."""

    def __init__(self, log: str, file: LogFile, place: Place, length: int, max_line: int, over: bool) -> None:
        self.log, self.file, self.place = log, file, place
        self.length, self.max_line, self.over = length, max_line, over

    def into(self, chunk: Chunk) -> Place:
        """Add what is there to ``chunk``; the place afterwards."""
        place, file = self.place, self.file
        over = self.over and self._quiet()
        data = file.read(place.offset, self.length)
        found, used, overlong = self._split(data, over and len(data) < self.length)
        if not used and overlong == place.overlong:
            chunk.at_end &= len(data) < self.length
            return place.model_copy(update={"inode": file.inode})
        offset = place.offset + used
        mark = file.mark(offset)
        start = max(0, place.offset - MARKED)
        kept = _Kept(file, start, file.read(start, place.offset - start) + data)
        if os.fstat(file.fd).st_size < offset or file.mark(place.offset) != place.mark:
            chunk.at_end = False  # truncated under our eyes: look again
            return place
        chunk.read += found
        chunk.files[place.number] = kept
        chunk.at_end &= len(data) < self.length
        return Place(number=place.number, inode=file.inode, offset=offset, mark=mark, overlong=overlong)

    def _split(self, data: bytes, last: bool) -> tuple[list[Piece | Aside], int, int | None]:
        """Whole lines, lines set aside, bytes used, and where an overlong line that goes on began."""
        found: list[Piece | Aside] = []
        begin, at = self.place.overlong, 0
        while at < len(data):
            if begin is None and (end := self._end_of_short_lines(data, at, last)) > at:
                whole = data if end - at == len(data) else data[at:end]
                found.append(Piece(self.place.offset + at, whole, self.place.number, f"{self.log}#{self.place.number}"))
                at = end
                continue
            newline = data.find(b"\n", at)
            start = self.place.offset + at if begin is None else begin
            if newline < 0 and not last:
                if self.place.offset + len(data) - start <= self.max_line:
                    return found, at, None
                return found, len(data), start
            stop = len(data) if newline < 0 else newline
            found.append(self._aside(start, self.place.offset + stop - start))
            begin, at = None, stop + 1
        if last and begin is not None:
            found.append(self._aside(begin, self.place.offset + len(data) - begin))
            begin = None
        return found, min(at, len(data)), begin

    def _end_of_short_lines(self, data: bytes, at: int, last: bool) -> int:
        """Where the lines that begin at ``at`` end, up to the first that is too long or not whole."""
        while True:
            end = data.rfind(b"\n", at, at + self.max_line + 1) + 1
            if not end:
                return len(data) if last and at < len(data) <= at + self.max_line else at
            at = end

    def _aside(self, start: int, length: int) -> Aside:
        reason = f"{self.log}#{self.place.number}@{start}: line of {length} bytes, longer than {self.max_line}"
        return Aside(offset=start, length=length, reason=reason, excerpt=self.file.read(start, EXCERPT))

    def _quiet(self) -> bool:
        """False while one of our writers is in the middle of a record (it holds the lock)."""
        try:
            fcntl.flock(self.file.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self.file.fd, fcntl.LOCK_UN)
        return True
