"""Respelling: spaced-out letters joined, digits read as letters, rot13 and reversed text turned back."""

import codecs
import re
from collections.abc import Callable, Iterator

from firebreak.detectors.patterns import regex
from firebreak.detectors.text.pieces import Piece, Places, around, cut, found_in
from firebreak.detectors.text.words import FROM_LEET, LEET, REVERSED, ROT13, correct, seams

_LETTER = "[A-Za-z0-9@$]"
_BETWEEN = "[^A-Za-z0-9@$]{1,3}"
JOINED = rf"\b(?:{_LETTER}{_BETWEEN}){{0,3}}?[A-Za-z]{_BETWEEN}[A-Za-z](?:{_BETWEEN}{_LETTER}){{3,}}\b"

_RUN = re.compile(rf"(?:{_LETTER}(?:{_BETWEEN})?){{1,500}}")
_ONE_LETTER = re.compile(_LETTER)
_GAP = re.compile("[^A-Za-z0-9@$]+")
_WORD = re.compile(r"[A-Za-z]{2,}")
_WORDS = re.compile(r"(?s).{1,2000}(?![A-Za-z])|.{1,2000}")


def joined(text: str) -> Iterator[Piece]:
    for whole in found_in(regex(JOINED), text):
        for start, end in cut(text, *whole, _RUN):
            yield Piece(start, end, _join(text[start:end]), _join_places)


def leet(text: str) -> Iterator[Piece]:
    return _turned(text, LEET, lambda part: correct(part.translate(FROM_LEET)))


def rot13(text: str) -> Iterator[Piece]:
    return _turned(text, ROT13, lambda part: codecs.encode(part, "rot13"))


def mirrored(text: str) -> Iterator[Piece]:
    """Each word turned around where it stands."""
    for start, end in around(regex(REVERSED), text):
        for part in _WORDS.finditer(text, start, end):
            yield Piece(*part.span(), _WORD.sub(lambda word: word[0][::-1], part[0]), _mirror_places)


def _turned(text: str, sign: str, turn: Callable[[str], str]) -> Iterator[Piece]:
    for start, end in around(regex(sign), text):
        yield Piece(start, end, turn(text[start:end]))


def _starts(letters: str, gaps: list[str]) -> set[int]:
    """Before which letters a word starts: where the separator isn't the usual one, else where a known word does."""
    kinds = set(gaps)
    if len(kinds) == 1:
        return seams(letters)
    usual = max(sorted(kinds), key=gaps.count)
    return {number + 1 for number, gap in enumerate(gaps) if gap != usual}


def _spelled(source: str) -> tuple[str, set[int]]:
    letters = _GAP.sub("", source)
    return letters, _starts(letters, _GAP.findall(source)[: len(letters) - 1])


def _join(source: str) -> str:
    letters, starts = _spelled(source)
    if not starts:
        return letters
    return "".join([f" {letter}" if number in starts else letter for number, letter in enumerate(letters)])


def _join_places(source: str) -> Places:
    _, starts = _spelled(source)
    places: Places = []
    for number, letter in enumerate(_ONE_LETTER.finditer(source)):
        if number in starts:
            places.append((letter.start() - 1, letter.start()))
        places.append(letter.span())
    return places


def _mirror_places(source: str) -> Places:
    """The whole word for each letter of it."""
    places = [(n, n + 1) for n in range(len(source))]
    for word in _WORD.finditer(source):
        places[word.start() : word.end()] = [word.span()] * len(word[0])
    return places
