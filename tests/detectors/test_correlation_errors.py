"""A correlation outside the subset is refused with the file, the key and what is allowed."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firebreak.detectors.rules import SHIPPED, RuleError, load_rules
from tests.detectors.correlating import base_rule, correlation, rule, rules_of, write
from tests.detectors.test_rule_errors import junk

VALUES = {"type": "value_count"}
BROKEN: list[tuple[dict[str, Any], str, str, str]] = [
    ({"type": "temporal"}, "correlation.type", "type `temporal` is not supported", "event_count, value_count"),
    ({"type": "temporal_ordered"}, "correlation.type", "`temporal_ordered`", "event_count"),
    ({"type": "value_sum"}, "correlation.type", "`value_sum`", "value_count"),
    ({"type": "value_percentile"}, "correlation.type", "`value_percentile`", "value_count"),
    ({"type": None}, "correlation.type", "type `None`", "event_count"),
    ({"aliases": {}}, "correlation.aliases", "`aliases` is not supported", "group-by"),
    ({"timeframe": "5m"}, "correlation.timeframe", "`timeframe` is not supported", "timespan"),
    ({"generate": "yes"}, "correlation.generate", "'yes' is not a flag", "true or false"),
    ({"rules": None}, "correlation.rules", "is not a list", "list of texts"),
    ({"rules": [4]}, "correlation.rules", "is not a list of texts", "a text"),
    ({"rules": ["denied", "denied"]}, "correlation.rules", "names one twice", "each once"),
    ({"rules": ["nothing"]}, "correlation.rules", "`nothing` is not the name of a rule about records", "denied"),
    ({"rules": ["many"]}, "correlation.rules", "`many` is not the name of a rule about records", "denied"),
    ({"group_by": ["prompt"]}, "correlation.group-by", "`prompt` can't be counted", "token_id"),
    ({"group_by": ["token_id", "usr"]}, "correlation.group-by", "`usr` can't be", "user"),
    ({"group_by": ["user"]}, "correlation.group-by", "`firebreak.actor` is token", "token_id"),
    ({"group_by": ["token_id", "model"], "generate": True}, "correlation.group-by", "`model` can't be", "workflow"),
    ({"timespan": "5 minutes"}, "correlation.timespan", "'5 minutes' is not a time span", "10m"),
    ({"timespan": "0m"}, "correlation.timespan", "'0m'", "10m"),
    ({"timespan": "1M"}, "correlation.timespan", "'1M'", "w, at most 7 days"),
    ({"timespan": "8d"}, "correlation.timespan", "'8d'", "at most 7 days"),
    ({"timespan": 300}, "correlation.timespan", "300", "10m"),
    ({"timespan": None}, "correlation.timespan", "None", "10m"),
    ({"condition": None}, "correlation.condition", "is not a map", "gt, gte"),
    ({"condition": "denied and many"}, "correlation.condition", "is not a map", "gt, gte"),
    ({"condition": {}}, "correlation.condition", "has 0 operators", "gt, gte"),
    ({"condition": {"gt": 1, "lt": 5}}, "correlation.condition", "has 2 operators", "gt, gte"),
    ({"condition": {"neq": 5}}, "correlation.condition.neq", "`neq` is not supported", "lte, eq"),
    ({"condition": {"gte": 3, "field": "user"}}, "correlation.condition.field", "`field` is not", "gt"),
    ({"condition": {"gte": 2.5}}, "correlation.condition.gte", "2.5 can't be counted to", "0 to 1000"),
    ({"condition": {"gte": True}}, "correlation.condition.gte", "True can't be counted to", "0 to 1000"),
    ({"condition": {"gte": 1001}}, "correlation.condition.gte", "1001 can't be", "0 to 1000"),
    ({"condition": {"gte": 0}}, "correlation.condition.gte", "always or never", "1 or more"),
    ({"condition": {"lt": 1}}, "correlation.condition.lt", "always or never", "2 or more"),
    ({"condition": {"lt": 3}, "generate": True}, "correlation.condition", "`lt` with `generate: true`", "gt, gte"),
    ({**VALUES}, "correlation.condition.field", "counts the values of one field", "source_address"),
    ({**VALUES, "condition": {"gte": 3, "field": "prompt"}}, "correlation.condition.field", "`prompt`", "user"),
    ({**VALUES, "condition": {"gte": 3, "field": ["user", "id"]}}, "correlation.condition.field", "one field", "user"),
    ({**VALUES, "condition": {"gt": 3, "percentile": 5}}, "correlation.condition.percentile", "is not", "field"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "key", "problem", "allowed"), BROKEN)
def test_refused_by_name(changed: dict[str, Any], key: str, problem: str, allowed: str) -> None:
    with pytest.raises(RuleError) as caught:
        rules_of(base_rule(), correlation(**changed))
    assert caught.value.file.endswith("many.yml")
    assert caught.value.key == key
    assert problem in caught.value.problem
    assert allowed in caught.value.allowed


@pytest.mark.parametrize(
    ("case", "key", "problem"),
    [
        ({"records": []}, "firebreak.cases.0.records", "at least 1"),
        ({"records": [{"at": "soon", "record": {}}]}, "firebreak.cases.0.records.0.at", "match pattern"),
        ({"records": [{"times": 9999, "record": {}}]}, "firebreak.cases.0.records.0.times", "less than or equal"),
        ({"records": [{"record": {"usr": "a"}}]}, "firebreak.cases.0", "no field usr"),
        ({"record": {}}, "firebreak.cases.0.records", "Field required"),
        ({"match": True, "records": [{"record": {}}]}, "firebreak.cases.0", "states its severity"),
    ],
)
def test_cases_are_held_to_their_form(case: dict[str, Any], key: str, problem: str) -> None:
    broken = correlation()
    broken["firebreak"]["cases"] = [{"name": "x", "match": False, **case}]
    with pytest.raises(RuleError) as caught:
        rules_of(base_rule(), broken)
    assert caught.value.key == key
    assert problem in caught.value.problem


def test_a_correlation_of_windows_of_use_is_refused() -> None:
    usage = rule("busy", detection={"selection": {"calls|gt": 5}, "condition": "selection"})
    usage["logsource"]["service"] = "usage"
    usage["firebreak"]["runbook"][0]["field"] = "calls"
    usage["firebreak"]["cases"] = [{"name": "x", "match": False, "window": {}}]
    with pytest.raises(RuleError, match="`busy` is not the name of a rule about records"):
        rules_of(usage, correlation(rules=["busy"]))


def test_a_team_can_t_silence_a_shipped_rule_by_counting_it(tmp_path: Path) -> None:
    write(tmp_path, correlation(rules=["token-revoked"]))
    with pytest.raises(RuleError, match="`token-revoked` is a shipped rule"):
        load_rules(own=tmp_path)
    write(tmp_path, correlation(rules=["token-revoked"], generate=True))
    loaded = load_rules(SHIPPED, own=tmp_path)
    assert all(rule.raises for rule in loaded.rules if rule.id == "token-revoked")
    assert "many" in {c.id for c in loaded.over_findings}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(["type", "rules", "group_by", "timespan", "condition", "generate", "x"]), value=junk)
def test_no_value_anywhere_raises_anything_but_a_rule_error(tmp_path: Path, place: str, value: Any) -> None:
    write(tmp_path, base_rule(), correlation(**{place: value}))
    with suppress(RuleError):
        load_rules(tmp_path)
