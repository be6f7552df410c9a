"""Fingerprints of a system prompt, and how much of it an answer repeats.

A text's words, without case and punctuation, make shingles of four words. Kept are the shingles that begin with a
long word, hashed to 24 bits, without their order: few enough for a table, and the same ones wherever a part of the
prompt turns up. So short a hash fits thousands of other four-word sequences: the prompt can't be read back from it.
But who can guess a whole sentence can confirm it, so this keeps no secret that somebody guesses.

What this can't see: a translation, a summary in other words, an encoding, a language that writes no spaces.
"""

import re
import zlib
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from firebreak.detectors.findings import digest

SHINGLE = 4  # words
BITS = 0xFFFFFF
LONGEST_WORD, EVERY = 8, 6  # the longest minimum of letters that still gives a shingle for every six words
MOST_WORDS = 20_000
MISSED = 2  # shingles in a row that may differ within one run: a word that was changed spoils up to two
FEWEST = 3  # shingles that make a run
_WORDS = re.compile(r"\S+")


class Fingerprint(BaseModel):
    """What is known of a workflow's system prompts: shingles that begin with a word of ``least`` letters or more."""

    model_config = ConfigDict(frozen=True)

    least: int
    shingles: frozenset[int]

    @property
    def digest(self) -> str:
        """Of the shingles, not of the text: the store holds nothing that the whole text can be tried against."""
        return digest(str(self.least), *map(str, sorted(self.shingles)))

    def covers(self, other: "Fingerprint") -> bool:
        """Whether the other is known already, but for what a template fills in (a fifth)."""
        return self.least <= other.least and len(other.shingles - self.shingles) * 5 <= len(other.shingles)

    def with_(self, other: "Fingerprint") -> "Fingerprint":
        """Both together."""
        return Fingerprint(least=min(self.least, other.least), shingles=self.shingles | other.shingles)


class _Plain(dict[int, str]):
    """For ``str.translate``: letters and digits in lower case, anything else a space; every character stays one."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        lower = character.lower()
        self[code] = (lower if len(lower) == 1 else character) if character.isalnum() else " "
        return self[code]


_PLAIN = _Plain()


def fingerprint(text: str) -> Fingerprint | None:
    """A system prompt's fingerprint; None for one too short to be told from other texts."""
    words = text.translate(_PLAIN).split()[:MOST_WORDS]
    for least in range(LONGEST_WORD, 0, -1):
        hashes = frozenset(hashed for _, hashed in _shingles(words, least))
        if len(hashes) * EVERY >= len(words):
            return Fingerprint(least=least, shingles=hashes) if len(hashes) >= FEWEST else None
    return None


def longest_run(known: Fingerprint, response: str, prompt: str) -> tuple[int, int, int] | None:
    """The longest part of the answer that repeats a system prompt: how many words, and its span in the answer.

    What the call's own prompt says is no leak. None where nothing is repeated.
    """
    words = response.translate(_PLAIN).split()
    shingles = list(_shingles(words, known.least))
    shared = known.shingles.intersection([hashed for _, hashed in shingles])
    if len(shared) < FEWEST:
        return None
    shared -= {hashed for _, hashed in _shingles(prompt.translate(_PLAIN).split(), known.least)}
    best = max(_runs(shingles, shared), key=lambda run: run[1] - run[0], default=None)
    if best is None:
        return None
    places = [place.span() for place in _WORDS.finditer(response.translate(_PLAIN))]
    return best[1] - best[0], places[best[0]][0], places[best[1] - 1][1]


def _shingles(words: list[str], least: int) -> Iterator[tuple[int, int]]:
    """The place and the hash of each shingle that begins with a long word."""
    for at, word in enumerate(words[: max(0, len(words) - SHINGLE + 1)]):
        if len(word) >= least:
            yield at, zlib.crc32(" ".join(words[at : at + SHINGLE]).encode("utf-8", "replace")) & BITS


def _runs(shingles: list[tuple[int, int]], shared: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Runs of shared shingles, as the first word's place and the one after the last word's."""
    first = last = -1
    hits = missed = 0
    for at, hashed in [*shingles, *[(-1, -1)] * (MISSED + 1)]:
        if hashed in shared:
            first = at if hits == 0 else first
            last, missed = at, 0
            hits += 1
        elif hits:
            missed += 1
            if missed > MISSED:
                if hits >= FEWEST:
                    yield first, last + SHINGLE
                hits = missed = 0
