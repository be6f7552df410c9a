"""A rule's conditions as LogQL over the interaction log's JSON lines: line filters, then labels of ``| json``.

Text is matched whole and without letter case as Sigma means it, with Go's regular expressions, which are RE2's. Loki
doesn't tell an absent label from an empty one, so neither do the filters here. What a query can't say raises
``Inexpressible``; where a branch of several is left out, or a prompt can't be split, ``notes`` says so.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.types import (
    CompareOperators,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
)

from firebreak.detectors.fields import DERIVED, FIELDS, ORIGIN_FIELDS
from firebreak.detectors.literals import Words, better, either, required, usable
from firebreak.detectors.matching import as_pattern
from firebreak.detectors.patterns import regex

WHOLE = "`prompt.user` is all of the prompt here, which Loki can't split: what a document says counts as the user's"
ESCAPED = r"\\u"  # a regular expression for what begins an escape of JSON: behind one, any letter may hide
_COMPARE = {
    CompareOperators.LT: ("<", ">="),
    CompareOperators.LTE: ("<=", ">"),
    CompareOperators.GT: (">", "<="),
    CompareOperators.GTE: (">=", "<"),
}


class Inexpressible(ValueError):
    """What LogQL over the log's lines can't say."""


def label_of(field: str) -> str:
    """The label that ``| json`` makes of a key."""
    return re.sub(r"^(?=\d)", "_", re.sub(r"[^A-Za-z0-9_]", "_", field))


def quoted(text: str) -> str:
    """A LogQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\x{ord(c):02x}" for c in escaped) + '"'


def filters(node: Any, notes: list[str], negated: bool = False) -> str:
    """A tree of conditions as one label filter. Errors: Inexpressible."""
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return _leaf(node.field, node.value, negated, notes)
    if isinstance(node, ConditionNOT):
        return filters(node.args[0], notes, not negated)
    if not isinstance(node, ConditionAND | ConditionOR):
        raise Inexpressible(f"a condition of type {type(node).__name__}")
    if isinstance(node, ConditionAND) is not negated:
        return _joined(" and ", [filters(arg, notes, negated) for arg in node.args])
    said, unsaid = [], list[str]()
    for arg in node.args:
        own: list[str] = []
        try:
            said.append(filters(arg, own, negated))
            notes += own
        except Inexpressible as error:
            unsaid.append(str(error))
    if not said:
        raise Inexpressible("; ".join(dict.fromkeys(unsaid)))
    notes += [f"left out: {reason}" for reason in unsaid]
    return _joined(" or ", said)


def words_of(node: Any) -> Words | None:
    """Words of which any line that matches holds one: only what must be there can be looked for, so no negations."""
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return _words_of_leaf(node.field, node.value)
    if isinstance(node, ConditionOR):
        return either(words_of(arg) for arg in node.args if _expressible(arg))
    if isinstance(node, ConditionAND):
        found: Words | None = None
        for arg in node.args:
            found = better(found, words_of(arg))
        return found
    return None


def line_filter(words: Words | None) -> str:
    """A filter on the raw line, before it is parsed: one of the words, or an escape behind which it may hide."""
    if words is None:
        return ""
    shortest = [w for w in words if not any(o != w and o.casefold() in w.casefold() for o in words)]
    alternatives = "|".join(re.escape(word).replace("\\ ", " ") for word in sorted(shortest))
    return f" |~ {quoted(f'(?i){alternatives}|{ESCAPED}')}"


def _joined(word: str, parts: Iterable[str]) -> str:
    unique = list(dict.fromkeys(parts))
    return unique[0] if len(unique) == 1 else f"({word.join(unique)})"


def _expressible(node: Any) -> bool:
    try:
        filters(node, [])
    except Inexpressible:
        return False
    return True


def _leaf(field: str, value: Any, negated: bool, notes: list[str]) -> str:
    if field in DERIVED:
        raise Inexpressible(f"`{field}` is computed, no key of the line")
    if FIELDS[field] == "flag":
        raise Inexpressible(f"`{field}` is not in the line")
    label = label_of("prompt" if field in ORIGIN_FIELDS else field)
    if field in ORIGIN_FIELDS:
        if negated or field != "prompt.user":
            raise Inexpressible(f"{'not ' * negated}`{field}`: Loki can't split the prompt by who wrote it")
        notes.append(WHOLE)
    match value:
        case SigmaRegularExpression():
            return _matches(label, value.regexp.original, negated)
        case SigmaString():
            return _matches(label, as_pattern(value), negated)
        case SigmaExists():
            return f'{label}{"!=" if bool(value) is not negated else "="}""'
        case SigmaNull():
            return f'{label}{"!=" if negated else "="}""'
        case SigmaNumber():
            return _number(label, ("==", "!="), value.number, negated)
        case SigmaCompareExpression():
            return _number(label, _COMPARE[value.op], value.number.number, negated)
        case SigmaCIDRExpression():
            inside = f"ip({quoted(str(value.network))})"
            return f'({label}!={inside} or {label}="")' if negated else f"{label}={inside}"
    raise Inexpressible(f"a value of type {type(value).__name__}")


def _matches(label: str, pattern: str, negated: bool) -> str:
    """Loki anchors the expression at both ends."""
    if regex(pattern).search("") is not None:
        raise Inexpressible(f"`{label}` may be empty, which is no different from absent")
    return f"{label}{'!~' if negated else '=~'}{quoted(f'(?s:.*)(?-s:{pattern})(?s:.*)')}"


def _number(label: str, operators: tuple[str, str], number: float, negated: bool) -> str:
    """A label that isn't there satisfies no comparison, so its absence is asked for where that is a match."""
    if number < 0:
        raise Inexpressible(f"`{label}` against a negative number")
    written = f"{label}{operators[negated]}{Decimal(repr(number)):f}"
    return f'({written} or {label}="")' if negated else written


def _words_of_leaf(field: str, value: Any) -> Words | None:
    if FIELDS[field] != "text" or field in DERIVED:
        return None
    if isinstance(value, SigmaRegularExpression):
        return required(value.regexp.original)
    if isinstance(value, SigmaString):
        found: Words | None = None
        for part in value.s:
            if isinstance(part, str):
                found = better(found, usable(frozenset([part])))
        return found
    return None
