"""Views of a text: what it says beneath look-alike letters, invisible characters, spacing, digits and encodings.

A view is made only where a sign of it is in the text, so most texts have one view, the plain one. A view of a view
is made the same way, a few layers deep, within a bound on all the text there is to look at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from firebreak.detectors.patterns import PatternSet
from firebreak.detectors.text import encodings, spelling, words
from firebreak.detectors.text.folding import FOLDABLE, fold, folded_lengths
from firebreak.detectors.text.pieces import Piece, Rewritten

Spans = Callable[[int, int], tuple[int, int]]
Reading = tuple[str, Spans]
MOST_LAYERS = 3
MOST_VIEWS = 24
_ROOM = 500_000


@dataclass(frozen=True)
class TextView:
    """One reading of a text. ``name`` is ``plain`` or the layers taken off, outermost first: ``base64>folded``."""

    name: str
    text: str
    _spans: Spans | None = field(default=None, repr=False, compare=False)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original text behind ``text[start:end]``."""
        return self._spans(start, end) if self._spans else (start, end)


@dataclass(frozen=True)
class _Step:
    name: str
    sign: str
    read: Callable[[str], Reading | None]


def _by_pieces(pieces: Callable[[str], Iterator[Piece]]) -> Callable[[str], Reading | None]:
    def read(text: str) -> Reading | None:
        found = list(pieces(text))
        if not found:
            return None
        rewritten = Rewritten(text, found)
        return rewritten.text, rewritten.span

    return read


class _Folding:
    """The way back from folded text, found when it is asked for."""

    def __init__(self, source: str) -> None:
        self._source = source

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate(folded_lengths(self._source), initial=0))

    def span(self, start: int, end: int) -> tuple[int, int]:
        first = bisect_right(self._starts, start) - 1
        return first, max(first, bisect_right(self._starts, end - 1)) if end > start else first


def _backwards(text: str) -> Reading | None:
    return text[::-1], lambda start, end: (len(text) - end, len(text) - start)


def _folded(text: str) -> Reading | None:
    return fold(text), _Folding(text).span


_SPELLINGS = (
    _Step("folded", FOLDABLE, _folded),
    _Step("tags", encodings.TAGS, _by_pieces(encodings.from_tags)),
    _Step("selectors", encodings.SELECTORS, _by_pieces(encodings.from_selectors)),
    _Step("joined", spelling.JOINED, _by_pieces(spelling.joined)),
    _Step("leet", words.LEET, _by_pieces(spelling.leet)),
    _Step("rot13", words.ROT13, _by_pieces(spelling.rot13)),
    _Step("reversed", words.REVERSED, _backwards),
    _Step("mirrored", words.REVERSED, _by_pieces(spelling.mirrored)),
)
_ENCODINGS = (
    _Step("base64", encodings.BASE64, _by_pieces(encodings.from_base64)),
    _Step("base64-lines", encodings.BASE64_LINES, _by_pieces(encodings.from_base64_lines)),
    _Step("hex", encodings.HEX, _by_pieces(encodings.from_hex)),
    _Step("url", encodings.URL, _by_pieces(encodings.from_url)),
    _Step("html", encodings.HTML, _by_pieces(encodings.from_html)),
)

_STEPS = (*_SPELLINGS, *_ENCODINGS)

VIEW_SIGNS: Mapping[str, str] = {step.name: step.sign for step in _STEPS}
"""RE2 patterns by the first layer of a view's name: where none matches, ``text_views`` gives the plain view alone."""

# Two sets: together they would have so many states that random text could slow the search tenfold.
_SIGNS_OF_SPELLINGS = PatternSet([step.sign for step in _SPELLINGS])
_SIGNS_OF_ENCODINGS = PatternSet([step.sign for step in _ENCODINGS])


def _signs(text: bytes) -> list[_Step]:
    """The steps whose sign is in a text."""
    spellings = [_SPELLINGS[number] for number in _SIGNS_OF_SPELLINGS.found(text)]
    return spellings + [_ENCODINGS[number] for number in _SIGNS_OF_ENCODINGS.found(text)]


def text_views(text: str) -> tuple[TextView, ...]:
    """Every reading of ``text``, the plain one first. A lone surrogate reads as a question mark."""
    data = text.encode("utf-8", "replace")
    plain = TextView("plain", text if text.isascii() else data.decode())
    steps = _signs(data)
    return (plain, *_beneath(plain, steps)) if steps else (plain,)


def _beneath(plain: TextView, steps: list[_Step]) -> Iterator[TextView]:
    """Layer by layer; from the second one on the smallest texts first, until there is no room to work in."""
    seen = {plain.text}
    room = _ROOM + len(plain.text)
    layer = [(plain, steps)]
    for depth in range(MOST_LAYERS):
        made = []
        for view, steps in layer:
            for step in steps:
                if view.name.endswith(step.name) and step.name == "folded":
                    continue  # folding twice changes nothing
                if depth and (room := room - len(view.text)) < 0:
                    return
                reading = step.read(view.text)
                if reading and reading[0] not in seen:
                    seen.add(reading[0])
                    made.append(_view(view, step.name, reading))
                    yield made[-1]
                    if len(seen) > MOST_VIEWS:
                        return
        made.sort(key=lambda view: len(view.text))
        layer = [(view, _signs(view.text.encode())) for view in made]


def _view(below: TextView, name: str, reading: Reading) -> TextView:
    text, spans = reading
    if below.name == "plain":
        return TextView(name, text, spans)
    return TextView(f"{below.name}>{name}", text, lambda start, end: below.original(*spans(start, end)))
