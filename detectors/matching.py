"""Conditions of Sigma rules, compiled once and tried on every record.

pySigma parses a rule into a tree of conditions; its leaves (one field, one value) become atoms. All atoms on the
prompt's fields share a set of patterns, and those on each other text have one, so a record costs one linear pass over
each of its texts, however many rules there are; the pattern alone runs again only where evidence is wanted.

A text is searched in every reading of it (``text/views.py``). What counts against a rule (``not …``) has to stand in
the plain text: a hidden phrase must not silence a rule.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from operator import eq, ge, gt, itemgetter, le, lt
from typing import Any

import re2
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

from firebreak.detectors.fields import Value
from firebreak.detectors.patterns import PatternSet, regex
from firebreak.detectors.views import PROMPT, View

Condition = Callable[[Sequence[bool]], bool]
_COMPARE = {
    CompareOperators.LT: lt,
    CompareOperators.LTE: le,
    CompareOperators.GT: gt,
    CompareOperators.GTE: ge,
}


@dataclass(frozen=True)
class Atom:
    """One field held against one value: by a pattern (text) or by a test (anything else)."""

    field: str
    pattern: Any = None
    test: Callable[[Value], bool] | None = None


class _Texts:
    """The atoms on texts that are searched together: pattern by pattern, who is waiting for it."""

    def __init__(self, name: str, atoms: list[tuple[int, Atom]], negated: set[int]) -> None:
        self.name = name
        waiting: dict[str, list[tuple[str, int, bool]]] = {}
        for index, atom in atoms:
            waiting.setdefault(atom.pattern.pattern, []).append((atom.field, index, index not in negated))
        self._waiting = list(waiting.values())
        try:
            self._patterns = PatternSet(list(waiting))
        except MemoryError as error:
            raise MemoryError(f"`{name}`: {error}") from None

    def mark(self, view: View, hits: list[bool]) -> None:
        """Set the atoms that hold in any reading; one that counts against a rule holds in the plain text alone."""
        for reading in view.readings(self.name):
            for number in self._patterns.found(reading.view.text.encode()):
                for field, index, speaks in self._waiting[number]:
                    if field in reading.fields and (speaks or reading.plain):
                        hits[index] = True


class Matcher:
    """Every atom of a set of rules. Add conditions first, then freeze, then ask for hits."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self._negated: set[int] = set()
        self._tests: list[tuple[str, list[tuple[int, Callable[[Value], bool]]]]] = []
        self._texts: list[_Texts] = []

    def add(self, node: Any, negated: bool = False) -> tuple[Condition, list[int]]:
        """A tree of conditions as a function of the hits, and its atoms that speak for a match."""
        if isinstance(node, ConditionFieldEqualsValueExpression):
            index = len(self.atoms)
            self.atoms.append(_atom(node.field, node.value))
            if negated:
                self._negated.add(index)
            return itemgetter(index), [index]
        if isinstance(node, ConditionNOT):
            condition, _ = self.add(node.args[0], not negated)
            return (lambda hits: not condition(hits)), []
        first = len(self.atoms)
        branches = [self.add(arg, negated) for arg in node.args]
        conditions = tuple(condition for condition, _ in branches)
        speaking = [index for _, indexes in branches for index in indexes]
        leaves = slice(first, len(self.atoms))
        flat = len(self.atoms) - first == len(branches) == len(speaking)
        if isinstance(node, ConditionAND):
            if flat:
                return (lambda hits: False not in hits[leaves]), speaking
            return (lambda hits: all(condition(hits) for condition in conditions)), speaking
        if isinstance(node, ConditionOR):
            if flat:
                return (lambda hits: True in hits[leaves]), speaking
            return (lambda hits: any(condition(hits) for condition in conditions)), speaking
        raise TypeError(f"condition of type {type(node).__name__}")

    def freeze(self) -> None:
        """Build the sets; afterwards nothing changes, so threads may share the matcher."""
        texts: dict[str, list[tuple[int, Atom]]] = {}
        tests: dict[str, list[tuple[int, Callable[[Value], bool]]]] = {}
        for index, atom in enumerate(self.atoms):
            if atom.test:
                tests.setdefault(atom.field, []).append((index, atom.test))
            else:
                name = "prompt" if atom.field in PROMPT else atom.field
                texts.setdefault(name, []).append((index, atom))
        self._tests = list(tests.items())
        self._texts = [_Texts(name, atoms, self._negated) for name, atoms in texts.items()]

    def hits(self, view: View) -> list[bool]:
        """Which atoms hold for the record, by index."""
        hits = [False] * len(self.atoms)
        for texts in self._texts:
            texts.mark(view, hits)
        for field, tests in self._tests:
            value = view.value(field)
            for index, test in tests:
                hits[index] = test(value)
        return hits


def _atom(field: str, value: Any) -> Atom:
    match value:
        case SigmaRegularExpression():
            return Atom(field, pattern=regex(value.regexp.original))
        case SigmaString():
            return Atom(field, pattern=regex(as_pattern(value)))
        case SigmaExists():
            return Atom(field, test=lambda v, wanted=bool(value): (v is not None) is wanted)  # type: ignore[misc]
        case SigmaNull():
            return Atom(field, test=lambda v: v is None)
        case SigmaBool():
            return Atom(field, test=lambda v, wanted=value.boolean: v is wanted)  # type: ignore[misc]
        case SigmaNumber():
            return Atom(field, test=_number(eq, value.number))
        case SigmaCompareExpression():
            return Atom(field, test=_number(_COMPARE[value.op], value.number.number))
        case SigmaCIDRExpression():
            return Atom(field, test=_inside(value.network))
    raise TypeError(f"value of type {type(value).__name__}")


def as_pattern(value: SigmaString) -> str:
    """A Sigma string with its wildcards as RE2, letter case ignored; an outer `*` means no anchor there."""
    parts = list(value.s)
    start = "" if parts[:1] == [SpecialChars.WILDCARD_MULTI] else r"\A"
    end = "" if parts[-1:] == [SpecialChars.WILDCARD_MULTI] else r"\z"
    wildcards = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
    inner = parts[not start : len(parts) - (not end)]
    body = "".join(re2.escape(p) if isinstance(p, str) else wildcards[p] for p in inner)  # type: ignore[index]
    return f"(?is){start}{body}{end}"


def _number(operator: Callable[[Any, Any], Any], wanted: float) -> Callable[[Value], bool]:
    return lambda v: isinstance(v, int | float) and bool(operator(v, wanted))


def _inside(network: IPv4Network | IPv6Network) -> Callable[[Value], bool]:
    def test(value: Value) -> bool:
        try:
            return ip_address(str(value)) in network
        except ValueError:
            return False

    return test
