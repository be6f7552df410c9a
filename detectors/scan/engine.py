"""Many patterns tried on many texts in one pass: hyperscan, and RE2 where hyperscan isn't to be had or isn't sure.

The texts are searched one below the other, so every anchor means a line's bound as well: what is found is never less
than what the patterns find in the texts one by one, and may be more. RE2's automaton is faster on rules' patterns where
texts are alike (290 MB/s to 160), but has a state for each combination of beginnings: at first sight of real prompts it
does 39, and on the score's signs 5, where hyperscan does 110 and more (`python -m tests.benchmarks.engines`).

Hyperscan reads ASCII only here. On other text it counts bytes where RE2 counts characters, and folds other letters;
a vertical tab is white space to it alone.
"""

import logging
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any, NamedTuple

from firebreak.detectors.patterns import PatternSet

try:
    import hyperscan
except ImportError:  # no wheel for this platform: RE2 alone, at about half the speed
    hyperscan = None  # type: ignore[assignment]

_RE2_MEMORY = 256 << 20
_MOST_MATCHES = 500, 20  # told of one pass, and for each of its texts: texts made to match everywhere are RE2's
NOTHING: frozenset[int] = frozenset()
_TOKEN = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\(\?[a-zA-Z]*-[a-zA-Z]*m", re.DOTALL)
_WIDE = re.compile(r"\\[xpP]\{|\\[pP]|[^\x00-\x7f]")
_LINE_BOUND = {r"\A": "^", r"\z": "$"}
logger = logging.getLogger("firebreak.scan")


class Engine:
    """Tells which of some RE2 patterns may be found in a text. Not to be shared between threads.

    The patterns come in banks: hyperscan is fastest where patterns of one kind are together, those with rare words
    apart from those that any text half matches.
    """

    def __init__(self, banks: Sequence[Sequence[str]], fast: bool = True) -> None:
        """Raises MemoryError where the patterns are too many for one set, re2.error where one is no pattern."""
        self.patterns = [pattern for bank in banks for pattern in bank]
        self._all = _re2(self.patterns)
        self._found: list[tuple[int, int]] = []  # pattern, and where a match of it ends
        self._room = 0
        self._scans: list[Callable[[bytes], object]] = []
        self._rest: list[int] = []
        if fast and hyperscan is not None:
            first = 0
            for bank in banks:
                self._add(_build(tuple(map(by_line, bank))), first)
                first += len(bank)
        self._others = _re2([self.patterns[index] for index in self._rest])

    @property
    def fast(self) -> bool:
        return bool(self._scans)

    def hits(self, texts: Sequence[str | None]) -> list[frozenset[int]]:
        """For each text, the indexes of the patterns that may be found in it."""
        found = [NOTHING] * len(texts)
        if not self.patterns:
            return found
        fast: list[tuple[int, str]] = []
        slow: list[tuple[int, str]] = []
        for number, text in enumerate(texts):
            if text:
                (fast if self._scans and text.isascii() and "\v" not in text else slow).append((number, text))
        if fast:
            among = self._in_one_pass([text for _, text in fast])
            if among is None:
                slow += fast
            else:
                for at, hits in among.items():
                    found[fast[at][0]] = frozenset(hits)
        for number, text in slow:
            found[number] = frozenset(self._all.found(text.encode("utf-8", "replace")))
        return found

    def _in_one_pass(self, texts: list[str]) -> dict[int, set[int]] | None:
        """Hits by the text's index; None where there are too many."""
        data = "\n".join(texts).encode()
        matches = self._found
        matches.clear()
        self._room = _MOST_MATCHES[0] + _MOST_MATCHES[1] * len(texts)
        try:
            for scan in self._scans:
                scan(data)
        except hyperscan.ScanTerminated:
            return None
        hits: dict[int, set[int]] = {}
        if matches:
            starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
            for index, end in matches:  # a match that takes the newline behind a text ends where the next begins
                hits.setdefault(bisect_right(starts, max(end - 1, 0)) - 1, set()).add(index)
        if self._rest and self._others.found(data):
            for at, text in enumerate(texts):
                if more := self._others.found(text.encode()):
                    hits.setdefault(at, set()).update(self._rest[index] for index in more)
        return hits

    def _add(self, built: "_Built", first: int) -> None:
        """Take a bank whose first pattern has the number ``first``."""
        self._rest += [first + index for index in built.rest]
        if built.database is None:
            return
        found = self._found

        def take(index: int, start: int, end: int, flags: int, context: object) -> bool:
            found.append((first + index, end))
            return len(found) > self._room  # then the pass ends

        scratch = hyperscan.Scratch(built.database)
        self._scans.append(partial(built.database.scan, match_event_handler=take, scratch=scratch))


class _Built(NamedTuple):
    """A bank's database, and the patterns that hyperscan refuses."""

    database: Any
    rest: tuple[int, ...] = ()


@lru_cache(maxsize=32)
def _build(patterns: tuple[str, ...]) -> _Built:
    database = _compile(patterns, range(len(patterns)))
    if database is not None:
        return _Built(database)
    rest = tuple(index for index, pattern in enumerate(patterns) if _compile((pattern,), [0]) is None)
    for index in rest:
        logger.warning("hyperscan refuses a pattern, so RE2 looks for it in every line: %s", patterns[index])
    taken = [index for index in range(len(patterns)) if index not in rest]
    return _Built(_compile([patterns[index] for index in taken], taken) if taken else None, rest)


def _compile(patterns: Sequence[str], ids: Sequence[int]) -> Any:
    """A database; None where a pattern is refused. It takes characters beyond a byte only where it is told so."""
    flags = hyperscan.HS_FLAG_MULTILINE
    each = [flags | (hyperscan.HS_FLAG_UTF8 if _WIDE.search(pattern) else 0) for pattern in patterns]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(expressions=[pattern.encode() for pattern in patterns], ids=list(ids), flags=each)
    except hyperscan.error:
        return None
    return database


def by_line(pattern: str) -> str:
    """The pattern with every anchor of the text as one of a line: it finds what it found, in a text among others."""

    def loosen(found: re.Match[str]) -> str:
        token = found[0]
        if token.startswith("(?"):
            before, after = token.split("-")
            return f"{before}-{after[:-1]}" if after != "m" else before
        return _LINE_BOUND.get(token, token)

    return f"(?m){_TOKEN.sub(loosen, pattern)}"


def _re2(patterns: Sequence[str]) -> PatternSet:
    return PatternSet([by_line(pattern) for pattern in patterns], _RE2_MEMORY)
