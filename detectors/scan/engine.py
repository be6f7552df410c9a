"""Many patterns tried on a text in one pass: hyperscan, and RE2 where hyperscan isn't to be had or isn't sure.

The text is a record's texts one below the other, so every anchor means a line's bound as well: what is found is
never less than what the patterns find in the texts one by one, and may be more.

Hyperscan reads ASCII only here. On other text it counts bytes where RE2 counts characters, and folds other letters;
a vertical tab is white space to it alone.
"""

import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import re2

try:
    import hyperscan
except ImportError:  # no wheel for this platform: RE2 alone, at about half the speed
    hyperscan = None  # type: ignore[assignment]

_RE2_MEMORY = 256 << 20
_PROBE = "firebreak-probe-of-the-engine"
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
        self._all = _set([by_line(pattern) for pattern in self.patterns])
        self._found: list[int] = []
        self._scans: list[Callable[[bytes], object]] = []
        self._rest: list[int] = []
        if fast and hyperscan is not None:
            first = 0
            for bank in banks:
                self._add(_build(tuple(map(by_line, bank))), first)
                first += len(bank)
        self._others = _set([by_line(self.patterns[index]) for index in self._rest])

    @property
    def fast(self) -> bool:
        return bool(self._scans)

    def hits(self, text: str) -> list[int]:
        """Indexes of the patterns that may be found in ``text``, in no order; the list is used again."""
        if not self._scans or not text.isascii() or "\v" in text:
            return _matched(self._all, text)
        self._found.clear()
        data = text.encode()
        for scan in self._scans:
            scan(data)
        if self._rest:
            self._found += [self._rest[index] for index in _matched(self._others, text)]
        return self._found

    def _add(self, built: "_Built", first: int) -> None:
        """Take a bank whose first pattern has the number ``first``."""
        self._rest += [first + index for index in built.rest]
        if built.database is None:
            return
        found = self._found

        def take(index: int, start: int, end: int, flags: int, context: object) -> None:
            found.append(first + index)

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
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_MULTILINE
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


def _set(patterns: Sequence[str]) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _RE2_MEMORY
    found = re2.Set.SearchSet(options)
    for pattern in (*patterns, _PROBE):
        found.Add(pattern)
    found.Compile()
    if not found.Match(_PROBE):  # RE2 only logs that a set is too large, and then matches nothing
        raise MemoryError("the patterns are too many for one RE2 set")
    return found


def _matched(patterns: Any, text: str) -> list[int]:
    found: list[int] = patterns.Match(text) or []
    return found
