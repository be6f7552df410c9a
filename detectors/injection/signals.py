"""Which features a text shows, how strongly and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from firebreak.detectors.injection.features import Search, compiled, features
from firebreak.detectors.injection.quoting import is_quoted
from firebreak.detectors.injection.shapes import soup
from firebreak.detectors.text.views import TextView

QUOTED = 0.25  # how much of a feature counts where it is only quoted
_QUOTES_READ = 8  # a text with more quoted attacks than this is no report
_BLOCK, _OVERLAP = 16_384, 1024


class Signal(NamedTuple):
    """A feature found in a text: ``strength`` 1 when issued, less when only quoted; the span is the original's."""

    strength: float
    start: int
    end: int
    view: str


Found = dict[str, Signal]


def signals(views: Sequence[TextView]) -> Found:
    """The features of a text, given by its views, by name; empty when it shows no sign of an attack."""
    wanted = compiled()
    found: Found = {}
    worth_more = False
    for view in views:
        for block in _blocks(view):
            for search in wanted.opened(block.encoded):
                if search.made_of_others:
                    worth_more = True
                else:
                    _look(search, block, found)
    if not found and not worth_more:
        return found
    for view in views:
        for block in _blocks(view):
            for search in wanted.others:
                _look(search, block, found)
    _put_together(found)
    return found if any(features()[name].role == "sign" for name in found) else {}


class _Block(NamedTuple):
    """A part of a view, which begins at ``offset`` in it; ``encoded`` as UTF-8, which is what RE2 reads."""

    view: TextView
    offset: int
    text: str
    encoded: bytes

    def place(self, start: int, end: int) -> tuple[int, int]:
        """A span of the bytes as a span of the text."""
        if len(self.encoded) == len(self.text):
            return start, end
        first = len(self.encoded[:start].decode("utf-8", "ignore"))
        return first, first + len(self.encoded[start:end].decode("utf-8", "ignore"))


def _look(search: Search, block: _Block, found: Found) -> None:
    """Add the feature if it is found in this part of a view; what was only quoted may be found issued."""
    known = found.get(search.name)
    if known and known.strength == 1:
        return
    place = _place(search, block)
    if place and (not known or place[0] > known.strength):
        start, end = block.view.original(place[1], place[2])
        found[search.name] = Signal(place[0], start, end, block.view.name)


def _place(search: Search, block: _Block) -> tuple[float, int, int] | None:
    """The feature's strength in a block, and where it stands in the view."""
    if search.shape:
        span = soup(block.view.text) if block.view.name == "plain" else None
        return (1.0, *span) if span else None
    first: tuple[float, int, int] | None = None
    at = number = 0
    while match := search.pattern.search(block.encoded, at):
        start, end = block.place(*match.span())
        if number == _QUOTES_READ or not is_quoted(block.text, start, end):
            return 1.0, block.offset + start, block.offset + end
        first = first or (QUOTED, block.offset + start, block.offset + end)
        at, number = max(match.end(), at + 1), number + 1
    return first


def _put_together(found: Found) -> None:
    """Add the features that others make up."""
    hidden = [signal for signal in found.values() if signal.view != "plain"]
    if hidden:
        found["decoded"] = max(hidden)
    for name, feature in features().items():
        if feature.all and all(part in found for part in feature.all):
            found[name] = min(found[part] for part in feature.all)


def _blocks(view: TextView) -> Iterator[_Block]:
    """A long text in overlapping blocks, so that a feature is looked for only near where it stands."""
    text = view.text
    if len(text) <= _BLOCK:
        yield _Block(view, 0, text, text.encode())
        return
    for start in range(0, len(text) - _OVERLAP, _BLOCK - _OVERLAP):
        part = text[start : start + _BLOCK]
        yield _Block(view, start, part, part.encode())
