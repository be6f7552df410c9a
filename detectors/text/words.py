"""Words that attacks on a model can hardly do without, and how they look in disguise.

Rot13, reversed text and digits for letters leave no mark of their own: what gives them away is one of these words.
They only decide which readings of a text are made, never that it is an attack.
"""

import codecs
import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

_SHORT = """
act all and any are as be do dump everything for give in is it me mode my new no not now of on or our role say send show
tell text that the their them these this to told was were what with you your
"""
_LONG = """
above answer assistant before bypass command commands complete confidential constraint constraints content context
developer directive directives disclose display disregard execute exfiltrate filter filters follow following forget
guideline guidelines hidden ignore ignoring initial instruction instructions internal jailbreak language limitations
message messages original output override password policies policy predefined preceding pretend previous previously
print prior prompt prompts question questions repeat response respond restriction restrictions reveal roleplay rules
safety secret secrets security system training unfiltered unlimited unrestricted
"""
_WORDS = (_SHORT + _LONG).split()
_TELLING = [word for word in _LONG.split() if len(word) >= 6]

LOOKS = {"a": "4@", "b": "8", "e": "3", "g": "69", "i": "1!|", "l": "1|", "o": "0", "s": "5$", "t": "7+"}
FROM_LEET = str.maketrans("013456789@$!|+", "oieasgtbgasiit")
"""One letter for each digit or sign; ``i`` where ``l`` is meant too, which ``correct`` puts right in known words."""


def _any_of(words: Iterable[str]) -> str:
    """Any of the words, the longest first, sorted by their first letter so that few are tried at each place."""
    ordered = sorted(words, key=lambda word: (word[0], -len(word)))
    return "|".join(
        f"{letter}(?:{'|'.join(word[1:] for word in group)})" for letter, group in groupby(ordered, itemgetter(0))
    )


_TWO_WORDS = 8  # letters, of the shortest two that would be worth telling apart
_WITH_I = {word.replace("l", "i"): word for word in _WORDS if "l" in word}
_MISREAD = re.compile(rf"\b(?:{_any_of(_WITH_I)})\b", re.IGNORECASE)
_KNOWN = re.compile(_any_of(_WORDS))


def correct(text: str) -> str:
    """``ruies`` as ``rules``: text out of ``FROM_LEET`` with the letter l where a known word has it."""
    return _MISREAD.sub(lambda found: _WITH_I.get(found[0].lower(), found[0]), text)


def seams(letters: str) -> set[int]:
    """Where in a run of letters without gaps a known word starts or has ended; a short run is one word."""
    if len(letters) < _TWO_WORDS:
        return set()
    return {place for found in _KNOWN.finditer(letters.lower()) for place in found.span()} - {0, len(letters)}


def anyhow(letter: str) -> str:
    """RE2 for a letter or a digit or sign that is written for it."""
    return f"[{letter}{re.escape(LOOKS[letter])}]" if letter in LOOKS else letter


def _leet(word: str) -> str:
    """``word`` with one letter or more written as a digit or a sign."""
    ways = []
    for at, letter in enumerate(word):
        if letter in LOOKS:
            ways.append(f"{word[:at]}[{re.escape(LOOKS[letter])}]{''.join(map(anyhow, word[at + 1 :]))}")
    return "|".join(ways)


_DIGITS = "[013457]"
_WORD = f"{_DIGITS}?[a-z]+(?:{_DIGITS}+[a-z]+)+{_DIGITS}*"
_EDGE = r"[\s\"'.,;:!?()]"
LEET = (
    rf"(?i)(?:^|[^a-z0-9+/=_])(?:{'|'.join(map(_leet, _TELLING))})"
    rf"|(?:^|{_EDGE}){_WORD}{_EDGE}+(?:[a-z]+{_EDGE}+){{0,3}}{_WORD}(?:{_EDGE}|$)"
)
ROT13 = f"(?i){'|'.join(codecs.encode(word, 'rot13') for word in _TELLING)}"
REVERSED = f"(?i){'|'.join(word[::-1] for word in _TELLING)}"
