"""Conditions of Sigma rules, compiled once and tried on every record.

pySigma parses a rule into a tree of conditions; its leaves (one field, one value) become atoms. All
text atoms of one field share a re2.Set, so a record costs one linear pass per field that has a text,
however many rules there are; the pattern alone runs again only where evidence is wanted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from operator import eq, ge, gt, le, lt
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

from firebreak.detectors.views import Value, View

Condition = Callable[[Sequence[bool]], bool]
_PROBE = "firebreak-probe-of-the-set"
_COMPARE = {
    CompareOperators.LT: lt,
    CompareOperators.LTE: le,
    CompareOperators.GT: gt,
    CompareOperators.GTE: ge,
}


def regex(pattern: str) -> Any:
    """Compile with RE2, silently. Raises re2.error where RE2 refuses the pattern."""
    return re2.compile(pattern, _options())


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False  # it would write to standard error by itself
    options.max_mem = 64 << 20  # room for a set's states; a bound, not an allocation
    return options


@dataclass(frozen=True)
class Atom:
    """One field held against one value: by a pattern (text) or by a test (anything else)."""

    field: str
    pattern: Any = None
    test: Callable[[Value], bool] | None = None


class Matcher:
    """Every atom of a set of rules. Add conditions first, then freeze, then ask for hits."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self._tests: list[tuple[int, str, Callable[[Value], bool]]] = []
        self._sets: list[tuple[str, list[int], Any]] = []

    def add(self, node: Any) -> tuple[Condition, list[int]]:
        """A tree of conditions as a function of the hits, and its atoms that speak for a match."""
        if isinstance(node, ConditionFieldEqualsValueExpression):
            index = len(self.atoms)
            self.atoms.append(_atom(node.field, node.value))
            return (lambda hits: hits[index]), [index]
        branches = [self.add(arg) for arg in node.args]
        conditions = tuple(condition for condition, _ in branches)
        speaking = [index for _, indexes in branches for index in indexes]
        if isinstance(node, ConditionNOT):
            return (lambda hits: not conditions[0](hits)), []
        if isinstance(node, ConditionAND):
            return (lambda hits: all(condition(hits) for condition in conditions)), speaking
        if isinstance(node, ConditionOR):
            return (lambda hits: any(condition(hits) for condition in conditions)), speaking
        raise TypeError(f"condition of type {type(node).__name__}")

    def freeze(self) -> None:
        """Build the sets; afterwards nothing changes, so threads may share the matcher."""
        by_field: dict[str, list[int]] = {}
        for index, atom in enumerate(self.atoms):
            if atom.test:
                self._tests.append((index, atom.field, atom.test))
            else:
                by_field.setdefault(atom.field, []).append(index)
        for field, indexes in by_field.items():
            patterns = re2.Set.SearchSet(_options())
            for index in indexes:
                patterns.Add(self.atoms[index].pattern.pattern)
            patterns.Add(_PROBE)
            patterns.Compile()
            if not patterns.Match(_PROBE):  # RE2 only logs that a set is too large, and then matches nothing
                raise MemoryError(f"the patterns on `{field}` are too many for one RE2 set")
            self._sets.append((field, [*indexes, len(self.atoms)], patterns))

    def hits(self, view: View) -> list[bool]:
        """Which atoms hold for the record, by index."""
        hits = [False] * (len(self.atoms) + 1)  # the last one is the probe's
        for field, indexes, patterns in self._sets:
            text = view.value(field)
            if text is not None:
                for found in patterns.Match(text) or ():
                    hits[indexes[found]] = True
        for index, field, test in self._tests:
            hits[index] = test(view.value(field))
        return hits


def _atom(field: str, value: Any) -> Atom:
    match value:
        case SigmaRegularExpression():
            return Atom(field, pattern=regex(value.regexp.original))
        case SigmaString():
            return Atom(field, pattern=regex(_as_pattern(value)))
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


def _as_pattern(value: SigmaString) -> str:
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
