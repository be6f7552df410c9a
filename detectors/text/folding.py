"""Folding: every character that hides, decorates or imitates a Latin letter, replaced by that letter.

One character at a time and without context, so a text of any kind is folded by one ``str.translate``. The letter
case stays: a rule says itself whether case matters to it.
"""

import re
import unicodedata

from firebreak.detectors.text.confusables import CONFUSABLES

# Marks written over, under and through letters of any script; a script's own vowel signs are not among them.
_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_NAMED_AFTER_A_LETTER = re.compile(
    r"(?:.* )?(?:LATIN (?P<case>CAPITAL |SMALL )?|INDICATOR SYMBOL )LETTER (?:[A-Z]{2,} )*"
    r"(?P<letter>[A-Z])(?: WITH .*)?"
)
_STAYS = (
    "\u2013\u2014\u2018-\u201e\u20ac"  # dashes, quotes, the euro
    "\u0621-\u0626\u0628-\u0646"  # Arabic letters
    "\u0900-\u0957\u0960-\u0965"  # Devanagari
    "\u0e01-\u0e32\u0e34-\u0e4f"  # Thai
    "\u3001-\u3006\u3008-\u301f\u3041-\u3096\u30a1-\u30fa\u30fc-\u30fe"  # Japanese
    "\u3400-\u9fff\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\uac00-\ud7a3"  # Chinese, Korean
    "\U0001f300-\U0001fbef"  # emoji
    "\ue000-\uf8ff\U00020000-\U000dffff\U000e1000-\U0010ffff"  # rare Chinese, private, not assigned
)
_CHANGING = re.compile(rf"[\x00-\x08\x0e-\x1f\x7f]+|[^\x00-\x7f{_STAYS}]+")
FOLDABLE = rf"[\x00-\x08\x0e-\x1f\x7f]|[^\x00-\x7f{_STAYS}]"
"""RE2: matches wherever folding changes anything, and in little else."""

_FEW = 150  # characters replaced one after another, which up to here is faster than looking up each
_LONG = 20_000
_LONGEST = 4  # one character is a whole blessing when written out; a text of them would grow eighteenfold


class _Folds(dict[int, str]):
    """What each code point folds to, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold(chr(code))
        return folded


def _fold(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() or character in "\t\n\v\f\r" else ""
    if not _CHANGING.match(character):
        return character
    if _INVISIBLE.match(character) or unicodedata.category(character) == "Cf":
        return ""
    taken_apart = unicodedata.normalize("NFKD", character)
    letters = _MARKS.sub("", taken_apart)
    if letters == taken_apart:
        letters = unicodedata.normalize("NFKC", character)
    folded = "".join(map(_latin, letters))
    return folded if len(folded) <= _LONGEST else character


def _latin(character: str) -> str:
    if character.isascii():
        return character
    if (lower := character.casefold()).isascii():  # ß
        return lower
    if named := _NAMED_AFTER_A_LETTER.fullmatch(unicodedata.name(character, "")):
        return named["letter"] if named["case"] == "CAPITAL " else named["letter"].lower()
    return CONFUSABLES.get(character, character)


_FOLDS = _Folds()


def fold(text: str) -> str:
    """The text with each character folded: the same, another, several or none."""
    if len(text) > _LONG or len(characters := set(text)) > _FEW:
        if max(text) <= "\uffff":
            return text.translate(_FOLDS)
        return _CHANGING.sub(lambda found: found[0].translate(_FOLDS), text)  # so as not to learn a million code points
    for character in characters:  # what comes out of a fold isn't folded again, so the order doesn't matter
        if (folded := _FOLDS[ord(character)]) != character:
            text = text.replace(character, folded)
    return text


def folded_lengths(text: str) -> list[int]:
    """How long each character of ``text`` is when folded."""
    lengths = {character: len(_FOLDS[ord(character)]) for character in set(text)}
    return [lengths[character] for character in text]
