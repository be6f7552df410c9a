"""The features of `features/*.yml`: what each looks for, compiled at first use."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from firebreak.detectors.injection.shapes import SOUP_SIGN
from firebreak.detectors.patterns import PatternSet, regex
from firebreak.detectors.yaml_text import read_yaml

FOLDER = Path(__file__).with_name("features")
_BETWEEN = r"[^a-z0-9.;!?]+"  # between the words of a sentence
_IN_SENTENCE = rf"{_BETWEEN}[^\n.;!?]*?\b"
_SOME_WORDS = rf"{_BETWEEN}(?:[a-z0-9]+{_BETWEEN}){{0,4}}?"


class Feature(BaseModel):
    """One feature as the files describe it; see the head of `features/orders.yml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    role: Literal["sign", "supports", "lowers"]
    prior: float
    needs: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    shape: Literal["soup"] | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    words: dict[str, str] = {}
    features: dict[str, Feature] = {}


@dataclass(frozen=True)
class Search:
    """How one feature is looked for: a pattern of all its phrases, or a shape; neither where it is made of others."""

    name: str
    pattern: Any = None
    shape: bool = False

    @property
    def made_of_others(self) -> bool:
        return self.pattern is None and not self.shape


@dataclass(frozen=True)
class _Opening:
    """Patterns, and the searches each opens where the other words these need are there as well."""

    patterns: PatternSet
    opens: list[list[tuple[Search, list[Any]]]]


class Compiled:
    """All features, compiled. Safe to share between threads."""

    def __init__(self) -> None:
        opens: dict[str, list[tuple[Search, list[Any]]]] = {}
        self.by_sign = opens  # what each of `signs` opens; beside them the shape's own sign
        self.patterns: dict[str, Any] = {}  # of each feature that has phrases
        self.others: list[Search] = []
        for name, feature in features().items():
            if phrases := [as_pattern(phrase, _words()) for phrase in feature.any]:
                self.patterns[name] = regex("|".join(phrases))
            search = Search(name, self.patterns.get(name), feature.shape is not None)
            if feature.role != "sign":
                self.others += [search] if phrases else []
            elif needs := _needs(feature):
                opens.setdefault(needs[0], []).append((search, [regex(group) for group in needs[1:]]))
        self._sets = [_Opening(PatternSet(some), [opens[sign] for sign in some]) for some in _shared_out(list(opens))]

    def opened(self, text: bytes) -> list[Search]:
        """The signs worth looking for in the text: a word of each group they need is there."""
        return [
            search
            for opening in self._sets
            for number in opening.patterns.found(text)
            for search, more in opening.opens[number]
            if all(group.search(text) for group in more)
        ]


@cache
def compiled() -> Compiled:
    """The features beside this module, ready to be looked for; takes half a second the first time."""
    return Compiled()


@cache
def features() -> dict[str, Feature]:
    """The features beside this module, by name."""
    return {name: feature for content in _contents() for name, feature in content.features.items()}


def signs() -> tuple[str, ...]:
    """RE2 patterns: a text of which no reading matches any shows nothing that opens the score, but perhaps a shape."""
    phrased = [feature for feature in features().values() if feature.role == "sign" and not feature.shape]
    return tuple(dict.fromkeys(groups[0] for groups in map(_needs, phrased) if groups))


@cache
def _contents() -> tuple[_File, ...]:
    files = sorted(FOLDER.glob("*.yml"))
    return tuple(_File.model_validate(read_yaml(f.read_text("utf-8"))) for f in files)


@cache
def _words() -> dict[str, str]:
    return {name: re.sub(r"\s*\|\s*", "|", listed) for content in _contents() for name, listed in content.words.items()}


def _needs(feature: Feature) -> list[str]:
    """The groups of words a sign needs; none for one that is made of other features alone."""
    return [SOUP_SIGN] if feature.shape else [f"(?i){_written_out(group, _words())}" for group in feature.needs]


def _shared_out(patterns: list[str]) -> list[list[str]]:
    """The signs in three sets: RE2 keeps a state for each combination found, of which one large set has far more."""
    rest = [pattern for pattern in patterns if pattern != SOUP_SIGN]
    return [[SOUP_SIGN], rest[::2], rest[1::2]]


def as_pattern(phrase: str, words: dict[str, str]) -> str:
    """A phrase of the files as RE2."""
    if phrase.startswith("="):
        return f"(?:{phrase[1:]})"
    pattern = _written_out(phrase.strip(), words)
    pattern = pattern.replace(" ... ", _IN_SENTENCE).replace(" .. ", _SOME_WORDS).replace(" ", _BETWEEN)
    return rf"(?:(?i)\b{pattern}" + (r"\b)" if pattern[-1].isalnum() or pattern[-1] == ")" else ")")


def _written_out(phrase: str, words: dict[str, str]) -> str:
    """The phrase with its lists of words, and every accent optional."""
    phrase = re.sub(r"<([a-z_]+)>", lambda name: f"(?:{words[name[1]]})" if name[1] in words else name[0], phrase)
    return re.sub(r"[à-ž]", _with_and_without_accent, phrase)


def _with_and_without_accent(letter: re.Match[str]) -> str:
    plain = unicodedata.normalize("NFD", letter[0])[0]
    return f"[{letter[0]}{plain}]" if plain != letter[0] else letter[0]
