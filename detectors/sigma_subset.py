"""The part of Sigma a rule may use; everything else is refused by name when the rules are loaded.

A detection is a map of named selections and one condition. A selection is a map from fields to values, or a list of
such maps of which one has to match. Values of text are compared without letter case, whole, with the wildcards ``*``
and ``?`` (written ``\\*``, ``\\?`` and ``\\\\`` where they stand for themselves); ``null`` means an absent field.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any

import re2

from firebreak.detectors.fields import FieldType
from firebreak.detectors.patterns import regex

MODIFIERS = {
    "text": ("contains", "startswith", "endswith", "re", "cidr", "exists", "all"),
    "number": ("lt", "lte", "gt", "gte", "exists", "all"),
    "flag": ("exists",),
}
SUPPORTED = tuple(dict.fromkeys(modifier for allowed in MODIFIERS.values() for modifier in allowed))
CONDITION = "names of detections, and, or, not, parentheses, 1 of NAME*, all of NAME*, 1 of them, all of them"
_TYPES: dict[str, tuple[type, ...]] = {"text": (str,), "number": (int, float), "flag": (bool,)}
_LONGEST_PATTERN = 2000
_WORDS = re.compile(r"[^\s()]+")


class Unsupported(ValueError):
    """Something outside the subset: under which key, what, and what is allowed instead."""

    def __init__(self, key: str, problem: str, allowed: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key, self.problem, self.allowed = key, problem, allowed


def check_detection(detection: dict[str, Any], fields: Mapping[str, FieldType]) -> None:
    """Raise Unsupported for the first thing in ``detection`` that the matcher doesn't do on these fields."""
    condition = detection.get("condition")
    if not isinstance(condition, str):
        raise Unsupported("detection.condition", "is not one text", CONDITION)
    if "|" in condition or re.search(r"\bany\s+of\b", condition):
        raise Unsupported("detection.condition", "aggregations and `any of` are not supported", CONDITION)
    if "timeframe" in detection:
        problem = "not supported: counts over time are correlations, in a file of their own"
        raise Unsupported("detection.timeframe", problem, CONDITION)
    names = [name for name in detection if name != "condition"]
    if not names:
        raise Unsupported("detection", "names nothing to look for", "a map from fields to values")
    for name in names:
        for key, item, value in _items(f"detection.{name}", detection[name], fields):
            _check_item(key, item, value, fields)


def check_used(detection: dict[str, Any]) -> None:
    """Raise Unsupported for a selection that the (parsed, so sound) condition leaves out: a slip of the pen."""
    wanted = ["*" if word == "them" else word for word in _WORDS.findall(detection["condition"])]
    for name in detection:
        if name != "condition" and not any(fnmatchcase(name, word) for word in wanted):
            raise Unsupported(f"detection.{name}", "is not used by the condition", CONDITION)


def _items(key: str, definition: Any, fields: Mapping[str, FieldType]) -> Iterator[tuple[str, str, Any]]:
    allowed = "a map from fields to values, or a list of such maps"
    if isinstance(definition, list) and definition and all(isinstance(item, dict) for item in definition):
        for number, item in enumerate(definition):
            yield from _items(f"{key}.{number}", item, fields)
    elif isinstance(definition, dict) and definition:
        for item, value in definition.items():
            if not isinstance(item, str):
                raise Unsupported(key, f"{item!r} is not a field", ", ".join(fields))
            yield f"{key}.{item}", item, value
    else:
        raise Unsupported(key, "keywords without a field are not supported", allowed)


def _check_item(key: str, item: str, value: Any, fields: Mapping[str, FieldType]) -> None:
    field, *modifiers = item.split("|")
    if field not in fields:
        raise Unsupported(key, f"no field `{field}`", ", ".join(fields))
    kind = fields[field]
    for modifier in modifiers:
        if modifier not in SUPPORTED:
            raise Unsupported(key, f"modifier `{modifier}` is not supported", ", ".join(SUPPORTED))
        if modifier not in MODIFIERS[kind]:
            problem = f"modifier `{modifier}` does not go with a {kind} field"
            raise Unsupported(key, problem, ", ".join(MODIFIERS[kind]))
    compare = [modifier for modifier in modifiers if modifier != "all"]
    if len(compare) > 1 or len(modifiers) - len(compare) > 1:
        raise Unsupported(key, "more than one way to compare", "one modifier, and `all` beside it")
    values = value if isinstance(value, list) else [value]
    if compare == ["exists"] and (isinstance(value, list) or "all" in modifiers):
        raise Unsupported(key, "`exists` asks one thing", "true or false")
    if not values or ("all" in modifiers and len(values) < 2):
        raise Unsupported(key, "too few values", "two or more with `all`, else one or more")
    for one in values:
        _check_value(key, kind, compare[0] if compare else "", one)


def _check_value(key: str, kind: str, compare: str, value: Any) -> None:
    if compare == "exists":
        kind = "flag"
    elif value is None and not compare:
        return
    wanted = _TYPES[kind]
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "flag"):
        quote = " (in quotes)" if kind == "text" else ""
        raise Unsupported(key, f"{type(value).__name__} is the wrong type of value", f"{kind}{quote}")
    if isinstance(value, float) and not isfinite(value):
        raise Unsupported(key, f"{value} is no number to compare with", "a finite number")
    if kind == "text" and compare and not str(value).strip("*" if compare != "re" else ""):
        raise Unsupported(key, f"`{compare}` matches everything with {value!r}", "a text of one or more characters")
    if compare == "re":
        _check_pattern(key, str(value))


def _check_pattern(key: str, pattern: str) -> None:
    if len(pattern) > _LONGEST_PATTERN:
        problem = f"pattern of {len(pattern)} characters"
        raise Unsupported(key, problem, f"RE2 syntax, at most {_LONGEST_PATTERN} characters")
    try:
        matches_nothing = regex(pattern).search("") is not None
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise Unsupported(key, f"RE2 refuses the pattern: {reason}", "RE2 syntax (no look-around)") from None
    if matches_nothing:
        raise Unsupported(key, "the pattern matches an empty text, so every text", "a pattern that takes a character")
