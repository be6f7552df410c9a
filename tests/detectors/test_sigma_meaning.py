"""Corners of the Sigma subset: wildcards and escapes, null, lists of maps, and rules about windows of use."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import ActorType
from firebreak.detectors.rules import RuleSet
from firebreak.detectors.usage.window import UsageWindow
from tests.detectors.correlating import START, call, rule, rules_of
from tests.detectors.rulebook import rules_for


def matches(selection: Any, **fields: Any) -> bool:
    return bool(rules_for({"selection": selection}).inspect(call(1, 1, **fields), Facts()))


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (r"a\*b", "a*b", True),
        (r"a\*b", "axxb", False),
        (r"a\?b", "a?b", True),
        (r"a\?b", "axb", False),
        (r"a\\*b", "a\\xxb", True),
        (r"a\\*b", "axxb", False),
        (r"a\\\*b", "a\\*b", True),
        (r"a\nb", r"a\nb", True),
        (r"c:\temp\*", "c:\\temp*", True),
        ("a?b", "a\nb", True),
        ("a?b", "ab", False),
        ("a*b", "A\n\nB", True),
        ("*", "", True),
        ("", "", True),
        ("", "x", False),
        ("?", "é", True),
        ("(a|b)[c]+.^$", "(A|B)[C]+.^$", True),
    ],
)
def test_wildcards_and_escapes(value: str, text: str, expected: bool) -> None:
    assert matches({"prompt": value}, prompt=text) is expected
    if value not in ("", "*"):
        assert matches({"prompt|contains": value}, prompt=f"<{text}>") is expected
        assert matches({"prompt|startswith": value}, prompt=f"{text}>") is expected
        assert matches({"prompt|endswith": value}, prompt=f"<{text}") is expected


@pytest.mark.parametrize(
    ("selection", "fields", "expected"),
    [
        ({"user": None}, {"user": None}, True),
        ({"user": None}, {"user": "ada"}, False),
        ({"user": [None, "eve"]}, {"user": "eve"}, True),
        ({"latency_ms": None}, {}, True),
        ({"latency_ms": [None, 5]}, {"latency_ms": 5.0}, True),
        ({"token_known": None}, {}, True),
        ([{"user": "ada", "model": "m"}, {"user": "eve"}], {"user": "ada"}, False),
        ([{"user": "ada", "model": "m"}, {"user": "eve"}], {"user": "ada", "model": "M"}, True),
        ([{"user": "ada", "model": "m"}, {"user": "eve"}], {"user": "Eve"}, True),
        ({"prompt|re|all": ["a+", "b+"]}, {"prompt": "xaby"}, True),
        ({"prompt|re|all": ["a+", "b+"]}, {"prompt": "xay"}, False),
        ({"latency_ms|gt|all": [1, 5]}, {"latency_ms": 4}, False),
        ({"latency_ms|gt": [1, 5]}, {"latency_ms": 4}, True),
        ({"source_address|cidr": ["10.0.0.0/8", "::1/128"]}, {"source_address": "::1"}, True),
    ],
)
def test_null_lists_and_all(selection: Any, fields: dict[str, Any], expected: bool) -> None:
    assert matches(selection, **fields) is expected


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from(["and", "or"]), st.booleans(), st.booleans())
def test_conditions_mean_what_python_means(held: list[bool], word: str, first: bool, inner: bool) -> None:
    rules = CONDITIONS[word, first, inner]
    text = "".join(letter for letter, holds in zip("abc", held, strict=True) if holds)
    a, b, c = held
    within = (b and c) if word == "and" else (b or c)
    expected = (a is not first) and (within is not inner)
    assert bool(rules.inspect(call(1, 1, prompt=text), Facts())) is expected


def _conditions() -> dict[tuple[str, bool, bool], RuleSet]:
    parts = {letter: {"prompt|contains": letter} for letter in "abc"}
    made = {}
    for word in ("and", "or"):
        for first in (False, True):
            for inner in (False, True):
                condition = f"{'not ' * first}a and {'not ' * inner}(b {word} c)"
                made[word, first, inner] = rules_for({**parts, "condition": condition})
    return made


CONDITIONS = _conditions()


def window(**fields: Any) -> UsageWindow:
    return UsageWindow(**{"subject": "token", "name": "key", "workflow": "w", "began_at": START, **fields})


def usage_rules(actor: str) -> RuleSet:
    busy = rule(
        "busy", actor=actor, detection={"selection": {"calls|gte": 5, "subject": "token"}, "condition": "selection"}
    )
    busy["logsource"]["service"] = "usage"
    busy["firebreak"]["runbook"][0]["field"] = "calls"
    busy["firebreak"]["cases"] = [{"name": "x", "match": False, "window": {}}]
    return rules_of(busy)


def test_a_rule_about_a_window_of_use_names_its_fields_and_shows_them() -> None:
    [found] = usage_rules("token").inspect_window(window(calls=7), Facts())
    assert (found.actor_type, found.actor, found.token_id, found.workflow) == (ActorType.TOKEN, "key", "key", "w")
    assert [(shown.field, shown.excerpt) for shown in found.evidence] == [("calls", "7"), ("subject", "token")]
    assert (found.detail["calls"], found.attributed) == (7, False)
    assert (found.time - START).total_seconds() == found.detail["window_seconds"]
    [again] = usage_rules("token").inspect_window(window(calls=7), Facts())
    assert again.key == found.key


def test_it_points_at_the_workflow_where_the_window_or_the_rule_does() -> None:
    [found] = usage_rules("workflow").inspect_window(window(calls=7), Facts())
    assert (found.actor_type, found.actor) == (ActorType.WORKFLOW, "w")
    assert usage_rules("token").inspect_window(window(calls=4), Facts()) == []
    assert usage_rules("token").inspect_window(window(subject="workflow", calls=9), Facts()) == []


def test_rules_about_records_and_about_windows_do_not_meet() -> None:
    rules = usage_rules("token")
    assert rules.inspect(call(1, 1), Facts()) == []
    assert rules_for({"selection": {"user": "ada"}}).inspect_window(window(calls=9), Facts()) == []
