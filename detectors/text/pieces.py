"""Rewriting pieces of a text, and finding the way back from the rewritten text to the original."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Places = list[tuple[int, int]]
WINDOW = 250  # characters kept around a rewritten piece; nothing a rule looks for in one go is longer
_LONGEST = 4000  # a longer piece is cut, so that finding a place in it stays cheap


class Piece(NamedTuple):
    """``source[start:end]`` reads as ``text``.

    ``places`` gives, from the piece's source, the span in it of every character of ``text``; None: a character
    stands where it stood (``text`` is as long as the source), or, where the lengths differ, for the whole piece.
    """

    start: int
    end: int
    text: str
    places: Callable[[str], Places] | None = None


class Rewritten:
    """A text with pieces of it rewritten. What lies further than a window from any piece is left out."""

    def __init__(self, source: str, pieces: list[Piece]) -> None:
        self._source = source
        self._pieces = [*pieces, Piece(len(source), len(source), "")]
        self._starts: list[int] = []  # of each piece in the text
        written: list[str] = []
        at = length = 0
        for piece in self._pieces:
            gap = source[at : piece.start]
            if len(gap) > 3 * WINDOW:
                gap = _shortened(gap, at > 0, piece.start < len(source))
            written += (gap, piece.text)
            self._starts.append(length + len(gap))
            length += len(gap) + len(piece.text)
            at = piece.end
        self.text = "".join(written)
        self._last: tuple[int, Places] = -1, []  # the piece last asked about

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span of the source behind ``text[start:end]``."""
        first, last = self._place(start), self._place(max(start, end - 1))
        return min(first[0], last[0]), max(first[1], last[1]) if end > start else first[0]

    def _place(self, at: int) -> tuple[int, int]:
        number = bisect_right(self._starts, at) - 1
        piece = self._pieces[number] if number >= 0 else Piece(0, 0, "")
        inside = at - (self._starts[number] if number >= 0 else 0)
        if inside >= len(piece.text):
            return self._between(piece.end, inside - len(piece.text), number + 1)
        if piece.places:
            if self._last[0] != number:
                self._last = number, piece.places(self._source[piece.start : piece.end])
            start, end = self._last[1][inside]
            return piece.start + start, piece.start + end
        if len(piece.text) == piece.end - piece.start:
            return piece.start + inside, piece.start + inside + 1
        return piece.start, piece.end

    def _between(self, start: int, inside: int, number: int) -> tuple[int, int]:
        """A place in the gap that starts at ``start`` and ends where piece ``number`` does start."""
        if number == len(self._pieces):
            return len(self._source), len(self._source)
        end = self._pieces[number].start
        before = WINDOW if start else 0
        if end - start <= 3 * WINDOW or inside < before:
            return start + inside, start + inside + 1
        if inside == before:
            return start + before, max(start + before, end - WINDOW)
        return end - WINDOW + inside - before - 1, end - WINDOW + inside - before


def _shortened(gap: str, after: bool, before: bool) -> str:
    """What stands beside a piece on either side, and a line break for the rest."""
    return f"{gap[:WINDOW] if after else ''}\n{gap[-WINDOW:] if before else ''}"


def found_in(pattern: Any, text: str) -> Iterator[tuple[int, int]]:
    """Spans of the matches of an RE2 pattern to which one character beyond ASCII is as good as any other."""
    return (found.span() for found in pattern.finditer(text.encode("ascii", "replace")))


def cut(text: str, start: int, end: int, units: re.Pattern[str]) -> list[tuple[int, int]]:
    """A span, in pieces of whole units where it is long."""
    if end - start <= _LONGEST:
        return [(start, end)]
    return [part.span() for part in units.finditer(text, start, end)]


def around(pattern: Any, text: str) -> Iterator[tuple[int, int]]:
    """Windows about the matches of an RE2 pattern, in characters; those that touch are one."""
    data = text.encode()
    plain = len(data) == len(text)
    start = end = at = byte = 0
    while (match := pattern.search(data, byte)) is not None:
        at += match.start() - byte if plain else len(data[byte : match.start()].decode("utf-8", "ignore"))
        if not end or at - WINDOW > end:
            if end:
                yield start, end
            start = max(0, at - WINDOW)
        end = min(len(text), at + WINDOW)
        byte = match.start()
        skipped = data[byte : byte + WINDOW].decode("utf-8", "ignore")
        at, byte = at + len(skipped), byte + len(skipped.encode())
    if end:
        yield start, end
