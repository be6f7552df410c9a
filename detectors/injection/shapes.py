"""Shapes of a text that no phrase describes."""

import re
from collections.abc import Iterable

from firebreak.detectors.patterns import regex

# What an odd joint looks like. A double quote never takes part, and neither do marks of JSON alone: so the lines of a
# log in JSON look odd only where the text in them does.
_MARK = r"[\[\](){}<>\\|$%^*=@#;:'`~&+/_!?.,-]"
_RARE = r"[()<>\\|$%^*=@#;'`~&+/_!?.-]"
_STEEP = r"[(<\\|$%^=@`~]"
ODD = "|".join(
    (
        rf"{_MARK}{{2}}{_RARE}|{_MARK}{_RARE}{_MARK}|{_RARE}{_MARK}{{2}}",  # a heap of marks
        rf"{_STEEP}[\[{{]|[\[{{]{_STEEP}|{_STEEP}{{2}}",
        r"[A-Za-z][(\[{<\\|][A-Za-z\\({\[]",  # a bracket in the middle of a word
        r"[A-Za-z][\])}>]['`\\(\[{]",
        r"[a-z]{2}[A-Z][a-z]",
    )
)
SOUP_SIGN = rf"(?:{ODD})[^\n]*(?:{ODD})"
_ODD = re.compile(rf"{_MARK}{{3,}}|{ODD}")
_USUAL = re.compile(r"\.{3,}|-{3,}|\*{2,}|_{3,}|={2,}|#{2,}|:?//+|'{3}|`{2,}|[!?.]{2,}|[)\]}'*_]+[,.;:?!]*|[{}\[\],:]+")
_PROSE = re.compile(r"[\"'(]?(?:[A-Za-z][a-z]*'?[a-z]*,?:?[ -]){4}")
_ODD_TAIL = regex(rf"{_MARK}{{3}}|{ODD}")
_CLOSES = {")": "(", "]": "[", "}": "{", ">": "<"}
_BRACKET = re.compile(r"[()\[\]{}<>]")
_LONGEST, _TAIL = 1500, 160


def soup(text: str) -> tuple[int, int] | None:
    """Where the last line's jumble of code and punctuation begins and ends, if a sentence runs into one.

    A suffix found by a machine leaves brackets open and joins marks as no language does; the prose before it is
    what it is to make the model answer.
    """
    end = len(text.rstrip())
    start = max(text.rfind("\n", 0, end) + 1, end - _LONGEST)
    line = text[start:end]
    if not _PROSE.match(line) or _without_partner(line) < 2:
        return None
    odd = [match for match in _ODD.finditer(line) if not _USUAL.fullmatch(match[0])]
    if len({match[0] for match in odd}) < 2 or odd[-1].start() < len(line) - _TAIL:
        return None
    return start + odd[0].start(), end


def soup_at(text: str, ends: Iterable[int]) -> bool:
    """Whether ``soup`` finds something in the text as far as one of these ends. Told mostly by the marks before it."""
    return any(_odd_before(text, end) and soup(text[:end]) is not None for end in ends)


def _odd_before(text: str, end: int) -> bool:
    tail = text[max(0, end - _TAIL) : end]
    if tail[-1:].isspace():
        end = len(text[:end].rstrip())
        tail = text[max(0, end - _TAIL) : end]
    return _ODD_TAIL.search(tail.encode("utf-8", "replace")) is not None


def _without_partner(line: str) -> int:
    """How many brackets nothing opens or closes."""
    opened: list[str] = []
    stray = 0
    for mark in _BRACKET.findall(line):
        if mark not in _CLOSES:
            opened.append(mark)
        elif opened and opened[-1] == _CLOSES[mark]:
            opened.pop()
        else:
            stray += 1
    return stray + len(opened)
