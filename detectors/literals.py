"""Which words a pattern can't match without: what a cheap filter may look for before the pattern itself is tried.

``required`` gives words of which every match holds at least one, letter case aside; None where nothing is sure.
"""

import re
import warnings
from collections.abc import Iterable
from typing import Any

SHORTEST = 3
MOST_WORDS = 64
_PLAIN = re.compile(r'[^\x00-\x1f"\\/]+')  # JSON writes these as they are, or as \uXXXX, and in no other way

Words = frozenset[str]


def required(pattern: str) -> Words | None:
    """Of an RE2 pattern. Read by Python's own parser: what that doesn't know, or reads otherwise, gives None."""
    if "[:" in pattern or "{," in pattern:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = re._parser.parse(pattern)  # type: ignore[attr-defined]
    except (re.error, Warning, RecursionError, OverflowError):
        return None
    exact, best = _sequence(tree)
    return better(best, usable(exact))


def better(one: Words | None, other: Words | None) -> Words | None:
    """The more telling of two requirements that both hold."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda words: (min(map(len, words)), -len(words)))


def either(all_of: Iterable[Words | None]) -> Words | None:
    """What is required where one of several is."""
    words: set[str] = set()
    for each in all_of:
        if each is None:
            return None
        words |= each
    return frozenset(words) if 0 < len(words) <= MOST_WORDS else None


def usable(exact: Words | None) -> Words | None:
    """The longest plain stretch of each text; None where one has none that is long enough."""
    if not exact:
        return None
    stretches = [max(_PLAIN.findall(text), key=len, default="") for text in exact]
    return frozenset(stretches) if min(map(len, stretches)) >= SHORTEST else None


def _sequence(parts: Any) -> tuple[Words | None, Words | None]:
    """All the texts that parts in a row match, where they are few, and the best requirement on the way."""
    texts: Words | None = frozenset([""])
    best: Words | None = None
    whole = True
    for part in parts:
        exact, inner = _part(part)
        best = better(best, inner)
        joined = None if exact is None else _join(texts or frozenset([""]), exact)
        if joined is None:
            best = better(best, usable(texts))
            texts, whole = exact if exact is not None and len(exact) <= MOST_WORDS else frozenset([""]), False
        else:
            texts = joined
    best = better(best, usable(texts))
    return (texts if whole else None), best


def _join(texts: Words, more: Words) -> Words | None:
    if len(texts) * len(more) > MOST_WORDS:
        return None
    return frozenset(text + other for text in texts for other in more)


def _part(part: Any) -> tuple[Words | None, Words | None]:
    name, value = str(part[0]), part[1]
    if name == "LITERAL":
        return frozenset([chr(value)]), None
    if name == "AT":
        return frozenset([""]), None
    if name == "SUBPATTERN":
        return _sequence(value[-1])
    if name == "BRANCH":
        branches = [_sequence(branch) for branch in value[1]]
        texts = [exact for exact, _ in branches]
        few = None if any(exact is None for exact in texts) else frozenset(t for exact in texts for t in exact or ())
        words = either(better(best, usable(exact)) for exact, best in branches)
        return (few if few and len(few) <= MOST_WORDS else None), words
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = value
        exact, best = _sequence(inner)
        if (least, most) == (0, 1) and exact is not None:
            return exact | {""}, None
        if (least, most) == (1, 1):
            return exact, best
        return None, better(best, usable(exact)) if least else None
    if name == "IN":
        chars = [str(kind) == "LITERAL" and chr(char) for kind, char in value]
        return (frozenset(map(str, chars)) if all(chars) else None), None
    return None, None
