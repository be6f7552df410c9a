"""The part of Sigma's correlations a file may use; everything else is refused by name when the rules are loaded."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sigma.correlations import SigmaCorrelationTimespan
from sigma.exceptions import SigmaTimespanError

from firebreak.detectors.correlation_file import MOST_COUNTED, OF_FINDINGS, OF_RECORDS, OPERATORS, TYPES
from firebreak.detectors.sigma_subset import Unsupported

KEYS = ("type", "rules", "group-by", "timespan", "condition", "generate")
LONGEST = timedelta(days=7)
_TIMESPAN = "a number and s, m, h, d or w, at most 7 days, as 10m"


@dataclass(frozen=True)
class Counting:
    """What a correlation counts: events of some rules, or a field's different values among them, in a sliding window.

    ``generate`` (Sigma's word): the rules counted raise findings of their own, and it is those that are counted,
    whoever found them. Otherwise the records are, as the scan reads them, and the rules alone raise nothing.
    """

    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    seconds: int
    operator: str
    count: int
    field: str | None
    generate: bool

    @property
    def needed(self) -> int:
        """How many make it true; of lt, lte and eq: how many are needed to know that it's false."""
        return self.count + (self.operator in ("gt", "lte", "eq"))

    @property
    def settles(self) -> bool:
        """Whether only a window that is over can tell."""
        return self.operator in ("lt", "lte", "eq")


def read_counting(correlation: dict[str, Any], actor: str) -> Counting:
    """Errors: Unsupported, for the first thing that isn't done."""
    for key in correlation:
        if key not in KEYS:
            raise Unsupported(f"correlation.{key}", f"`{key}` is not supported", ", ".join(KEYS))
    kind = correlation.get("type")
    if kind not in TYPES:
        raise Unsupported("correlation.type", f"type `{kind}` is not supported", ", ".join(TYPES))
    generate = correlation.get("generate", False)
    if not isinstance(generate, bool):
        raise Unsupported("correlation.generate", f"{generate!r} is not a flag", "true or false")
    group_by = _texts(correlation, "group-by", needed=False)
    countable = OF_FINDINGS if generate else OF_RECORDS
    for name in group_by:
        _check_field("correlation.group-by", name, countable)
    actors = {"user": "user", "token": "token_id"}
    if actor in actors and actors[actor] not in group_by:
        problem = f"`firebreak.actor` is {actor}, so the counts have to be one {actor}'s"
        raise Unsupported("correlation.group-by", problem, f"{actors[actor]} among others")
    operator, count, field = _condition(correlation.get("condition"), kind == "value_count", countable)
    counting = Counting(
        rules=_texts(correlation, "rules", needed=True),
        group_by=group_by,
        seconds=_seconds(correlation.get("timespan")),
        operator=operator,
        count=count,
        field=field,
        generate=generate,
    )
    if generate and counting.settles:
        problem = f"`{operator}` with `generate: true`: findings alone don't say when a window is over"
        raise Unsupported("correlation.condition", problem, "gt, gte; or the condition on records, without generate")
    return counting


def _check_field(key: str, field: str, countable: tuple[str, ...]) -> None:
    if field not in countable:
        raise Unsupported(key, f"`{field}` can't be counted or grouped by here", ", ".join(countable))


def _texts(correlation: dict[str, Any], key: str, needed: bool) -> tuple[str, ...]:
    given = correlation.get(key, [])
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found) or (needed and not found):
        raise Unsupported(f"correlation.{key}", "is not a list of texts", "a text or a list of texts")
    if len(set(found)) < len(found):
        raise Unsupported(f"correlation.{key}", "names one twice", "each once")
    return tuple(found)


def _seconds(timespan: Any) -> int:
    try:
        if isinstance(timespan, str) and len(timespan) < 10:
            parsed = SigmaCorrelationTimespan(timespan)
            if parsed.unit in "smhdw" and parsed.seconds <= LONGEST.total_seconds():
                return parsed.seconds
    except SigmaTimespanError:
        pass
    raise Unsupported("correlation.timespan", f"{timespan!r} is not a time span to count over", _TIMESPAN)


def _condition(condition: Any, of_values: bool, countable: tuple[str, ...]) -> tuple[str, int, str | None]:
    key = "correlation.condition"
    allowed = f"one of {', '.join(OPERATORS)} with a whole number" + (", and `field`" if of_values else "")
    if not isinstance(condition, dict):
        raise Unsupported(key, "is not a map", allowed)
    operators = [operator for operator in condition if operator in OPERATORS]
    for other in condition:
        if other not in (*OPERATORS, *(("field",) if of_values else ())):
            raise Unsupported(f"{key}.{other}", f"`{other}` is not supported here", allowed)
    if len(operators) != 1:
        raise Unsupported(key, f"has {len(operators)} operators", allowed)
    count = condition[operators[0]]
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_COUNTED:
        raise Unsupported(f"{key}.{operators[0]}", f"{count!r} can't be counted to", f"0 to {MOST_COUNTED}")
    least = {"gt": 0, "gte": 1, "lt": 2, "lte": 1, "eq": 1}[operators[0]]
    if count < least:
        problem = f"{operators[0]} {count} is always or never so: a group has one event at least"
        raise Unsupported(f"{key}.{operators[0]}", problem, f"{least} or more")
    if not of_values:
        return operators[0], count, None
    field = condition.get("field")
    if not isinstance(field, str):
        raise Unsupported(f"{key}.field", "value_count counts the values of one field", ", ".join(countable))
    _check_field(f"{key}.field", field, countable)
    return operators[0], count, field
