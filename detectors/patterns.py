"""Patterns for RE2, whose time is linear in the text whatever the pattern and the text are."""

import re
from functools import lru_cache
from typing import Any

import re2

MEMORY = 64 << 20  # bytes, room for a set's states; a bound, not an allocation
_PROBE = "firebreak-probe-of-the-set"
_GAP = re.compile(r"(?:\[\^[^\]]*\]|(?<!\\)\.)\*")


@lru_cache(maxsize=4096)
def regex(pattern: str) -> Any:
    """Compile with RE2, silently. Raises re2.error where RE2 refuses the pattern."""
    return re2.compile(pattern, _options())


class PatternSet:
    """Patterns searched for together, in one pass over a text, or two.

    A pattern that waits over a gap of any length is in a state of its own until the gap ends. Those are searched apart:
    each of their states times each of the others' would be more than a text full of beginnings leaves room for.

    ``memory`` bounds the states of each set, in bytes. Raises:
        MemoryError: the patterns are too many for one set.
    """

    def __init__(self, patterns: list[str], memory: int = MEMORY) -> None:
        waiting = {number for number, pattern in enumerate(patterns) if _GAP.search(pattern)}
        others = [number for number in range(len(patterns)) if number not in waiting]
        self._sets = [(_set([patterns[n] for n in some], memory), some) for some in (others, sorted(waiting)) if some]

    def found(self, text: bytes) -> list[int]:
        """The numbers of the patterns that match somewhere in a UTF-8 text, in order."""
        numbers: list[int] = []
        for patterns, own in self._sets:
            for found in patterns.Match(text) or ():
                if found < len(own):  # the last one is the probe
                    numbers.append(own[found])
        return sorted(numbers)


def _set(patterns: list[str], memory: int) -> Any:
    found = re2.Set.SearchSet(_options(memory))
    for pattern in patterns:
        found.Add(pattern)
    found.Add(_PROBE)
    found.Compile()
    if not found.Match(_PROBE):  # RE2 only logs that a set is too large, and then matches nothing
        raise MemoryError("the patterns are too many for one RE2 set")
    return found


def _options(memory: int = MEMORY) -> Any:
    options = re2.Options()
    options.log_errors = False  # it would write to standard error by itself
    options.max_mem = memory
    return options
