"""Canaries: secret words issued to a system prompt. One that turns up in an answer says that the prompt leaked.

The word is known, so it is looked for in each of its disguises, without decoding anything.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import re2

from firebreak.detectors.patterns import regex
from firebreak.detectors.text.words import anyhow

if TYPE_CHECKING:
    from firebreak.detectors.views import View

_FEWEST = 6  # letters and digits, below which a disguise would be found by chance


@lru_cache(maxsize=4096)
def canary_pattern(canary: str) -> str:
    """RE2 for a canary: in any letter case, spaced out, backwards, in rot13, hex, entities, or base64 at any offset."""
    ways = [f"(?i:{re2.escape(canary)})"]
    if len(re.sub(r"[^A-Za-z0-9]", "", canary)) >= _FEWEST and canary.isascii():
        ways += [f"(?i:{way})" for way in _respelled(canary)]
        ways += sorted({way for letters in (canary, canary.lower(), canary.upper()) for way in _base64(letters)})
    return "|".join(ways)


@lru_cache(maxsize=1024)
def _any_of(canaries: tuple[str, ...]) -> str | None:
    return "|".join(canary_pattern(canary) for canary in canaries if canary) or None


def canary_places(view: View) -> list[tuple[int, int]]:
    """The span in the answer of a canary of the record's workflow, in whatever reading of the answer it is first."""
    pattern = _any_of(view.facts.canaries.get(view.record.workflow, ()))
    for reading in view.readings("response") if pattern else ():
        if found := regex(pattern).search(reading.view.text):
            return [reading.view.original(*found.span())]
    return []


def canary_in_response(view: View) -> bool | None:
    """Whether the answer holds a canary of the record's workflow; None without an answer."""
    return None if view.record.response is None else bool(canary_places(view))


def _respelled(canary: str) -> Iterator[str]:
    letters = re.sub(r"[^A-Za-z0-9]", "", canary)
    for word in (letters, letters[::-1], codecs.encode(letters, "rot13")):
        yield "[^a-z0-9]{0,3}".join(map(anyhow, word.lower()))
    cases = [{ord(letter.lower()), ord(letter.upper())} for letter in canary]
    yield r"(?:[^0-9a-f]|0x){0,4}".join(f"(?:{'|'.join(f'{code:x}' for code in sorted(case))})" for case in cases)
    yield "[^0-9]{1,5}".join(f"(?:{'|'.join(map(str, sorted(case)))})" for case in cases)


def _base64(letters: str) -> Iterator[str]:
    """What of its base64 is the same whatever stands before and after."""
    for shift in range(3):
        digits = base64.b64encode(b"\0" * shift + letters.encode()).decode().rstrip("=")
        first = -(-shift * 8 // 6)
        last = (shift + len(letters)) * 8 // 6
        yield r"(?:\r?\n)?".join(map(re2.escape, digits[first:last]))
