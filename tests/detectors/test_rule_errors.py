"""A broken rule file is refused with the file, the key and what is allowed, and with nothing else."""

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firebreak.detectors.rules import SHIPPED, RuleError, load_rules

GOOD: dict[str, Any] = {
    "title": "A long answer",
    "id": "0b2c1f0e-6a8b-4c57-9b57-0d6f3a1c2e4d",
    "name": "long-answer",
    "description": "The answer is longer than answers are.",
    "logsource": {"product": "firebreak", "service": "interaction-log"},
    "detection": {
        "selection": {"response_tokens|gt": 4000, "model|startswith": ["gpt", "claude"]},
        "filter": {"user|contains": "batch"},
        "condition": "selection and not filter",
    },
    "falsepositives": ["A report."],
    "level": "low",
    "tags": ["atlas.aml.t0029", "owasp.llm10.2025"],
    "firebreak": {
        "kind": "unbounded-use",
        "actor": "user",
        "runbook": [{"field": "user", "action": "Read the user's calls", "window": "1 hour before"}],
        "cases": [{"name": "long", "match": True, "severity": "low", "record": {"response_tokens": 5000}}],
    },
}


def put(path: str, value: Any) -> dict[str, Any]:
    rule = copy.deepcopy(GOOD)
    *above, last = path.split("/")
    level: Any = rule
    for step in above:
        level = level[int(step) if step.isdigit() else step]
    level[last] = value
    return rule


def load(folder: Path, rule: Any, name: str = "long_answer.yml") -> None:
    (folder / name).write_text(rule if isinstance(rule, str) else yaml.safe_dump(rule), encoding="utf-8")
    load_rules(folder)


def test_the_example_itself_is_good(tmp_path: Path) -> None:
    load(tmp_path, GOOD)


SELECTION = "detection/selection"
BROKEN = [
    ("detection/selection", {"promt": "x"}, "detection.selection.promt", "no field `promt`", "prompt.user"),
    (SELECTION, {"prompt|base64": "x"}, "detection.selection.prompt|base64", "`base64` is not supported", "contains"),
    (SELECTION, {"prompt|re|i": "x"}, "detection.selection.prompt|re|i", "`i` is not supported", "re"),
    (SELECTION, {"prompt|cased": "x"}, "detection.selection.prompt|cased", "`cased` is not supported", "contains"),
    (SELECTION, {"user|fieldref": "x"}, "detection.selection.user|fieldref", "`fieldref` is not", "exists"),
    (SELECTION, {"prompt|windash|contains": "-x"}, "detection.selection.prompt|windash|contains", "`windash`", "re"),
    (
        SELECTION,
        {"prompt|base64offset|contains": "x"},
        "detection.selection.prompt|base64offset|contains",
        "`base64offset` is not supported",
        "contains",
    ),
    (SELECTION, {"prompt|expand": "%x%"}, "detection.selection.prompt|expand", "`expand` is not supported", "all"),
    (SELECTION, {"prompt|wide": "x"}, "detection.selection.prompt|wide", "`wide` is not supported", "all"),
    (SELECTION, {"prompt|neq": "x"}, "detection.selection.prompt|neq", "`neq` is not supported", "all"),
    (SELECTION, {"status|minute": 5}, "detection.selection.status|minute", "`minute` is not supported", "lt"),
    (SELECTION, {"status|gt": float("nan")}, "detection.selection.status|gt", "nan is no number", "finite"),
    (SELECTION, {"status|gt": float("inf")}, "detection.selection.status|gt", "inf is no number", "finite"),
    (SELECTION, {"status|gt": True}, "detection.selection.status|gt", "bool is the wrong type", "number"),
    (SELECTION, {"prompt|contains": "**"}, "detection.selection.prompt|contains", "matches everything", "one or more"),
    (SELECTION, {"prompt|contains": None}, "detection.selection.prompt|contains", "NoneType is the wrong", "text"),
    (SELECTION, {"user|exists": [True, False]}, "detection.selection.user|exists", "asks one thing", "true or false"),
    (SELECTION, {"token_known|all": [True, False]}, "detection.selection.token_known|all", "a flag field", "exists"),
    (SELECTION, {"prompt": []}, "detection.selection.prompt", "too few values", "one or more"),
    (SELECTION, {}, "detection.selection", "keywords without a field", "a map"),
    (SELECTION, [{"prompt": "x"}, "y"], "detection.selection", "keywords without a field", "a list of such maps"),
    (SELECTION, [{"prompt": "x"}, {"promt": "y"}], "detection.selection.1.promt", "no field `promt`", "prompt"),
    (SELECTION, {"calls|gt": 5}, "detection.selection.calls|gt", "no field `calls`", "prompt"),
    ("detection/condition", "selection", "detection.filter", "is not used by the condition", "all of them"),
    ("detection/condition", "1 of filter*", "detection.selection", "is not used by the condition", "all of them"),
    ("detection/condition", "2 of them", "detection", "pySigma refuses it", "all of them"),
    ("detection/condition", "1 of x*", "detection", "pySigma refuses it", "all of them"),
    ("detection/condition", "selection near filter", "detection", "pySigma refuses it", "all of them"),
    (SELECTION, {"latency_ms|contains": "1"}, "detection.selection.latency_ms|contains", "number field", "lt, lte"),
    (SELECTION, {"prompt|contains|startswith": "x"}, "detection.selection.prompt|contains|startswith", "more", "one"),
    (SELECTION, {"prompt|contains|all": ["x"]}, "detection.selection.prompt|contains|all", "too few", "two or more"),
    (SELECTION, {"prompt": 4}, "detection.selection.prompt", "int is the wrong type", "text (in quotes)"),
    (SELECTION, {"latency_ms": "4"}, "detection.selection.latency_ms", "str is the wrong type", "number"),
    (SELECTION, {"token_known": "yes"}, "detection.selection.token_known", "str is the wrong type", "flag"),
    (SELECTION, {"user|exists": "yes"}, "detection.selection.user|exists", "str is the wrong type", "flag"),
    (SELECTION, {"prompt|contains": ""}, "detection.selection.prompt|contains", "matches everything", "one or more"),
    (SELECTION, {"prompt|re": "(?=x)"}, "detection.selection.prompt|re", "RE2 refuses the pattern", "RE2 syntax"),
    (SELECTION, {"prompt|re": "(a"}, "detection.selection.prompt|re", "missing )", "RE2 syntax"),
    (SELECTION, {"prompt|re": "a*"}, "detection.selection.prompt|re", "matches an empty text", "takes a character"),
    (SELECTION, {"prompt|re": "a" * 3000}, "detection.selection.prompt|re", "3000 characters", "at most 2000"),
    (SELECTION, {"user|cidr": "10.0.0.0/99"}, "detection", "Invalid CIDR", "1 of"),
    (SELECTION, ["a", "b"], "detection.selection", "keywords without a field", "a map from fields to values"),
    (SELECTION, {"|contains": "b"}, "detection.selection.|contains", "no field ``", "prompt"),
    ("detection/condition", "selection | count() > 5", "detection.condition", "aggregations", "1 of"),
    ("detection/condition", "any of them", "detection.condition", "`any of`", "1 of"),
    ("detection/condition", "selection and nothing", "detection", "'nothing' not defined", "1 of"),
    ("detection/condition", ["selection"], "detection.condition", "is not one text", "1 of"),
    ("detection/condition", "(" * 5000, "detection", "pySigma refuses it", "1 of"),
    ("detection/timeframe", "5m", "detection.timeframe", "counts over time are correlations", "1 of"),
    ("correlation", {"type": "event_count"}, "logsource", "a correlation has none", "correlation"),
    ("filter", {}, "filter", "filters are not supported", "detection"),
    ("serverity", "high", "serverity", "Extra inputs are not permitted", "level"),
    ("level", "informational", "level", "Input should be", "'low', 'medium', 'high' or 'critical'"),
    ("name", "other-name", "name", "is not the file's name", "long-answer"),
    ("id", "17", "id", "valid UUID", "valid UUID"),
    ("tags", ["atlas.aml.t9999", "owasp.llm01.2025"], "tags", "no tag `atlas.aml.t9999`", "atlas.aml.t0051"),
    ("tags", ["owasp.llm01.2025"], "tags", "has no tag of atlas", "atlas."),
    ("logsource/product", "windows", "logsource.product", "Input should be 'firebreak'", "'firebreak'"),
    ("firebreak/actor", "team", "firebreak.actor", "Input should be", "'user', 'token' or 'workflow'"),
    ("firebreak/runbooks", [], "firebreak.runbooks", "Extra inputs", "runbook"),
    ("firebreak/runbook/0/window", "soon", "firebreak.runbook.0.window", "should match pattern", "before|after"),
    ("firebreak/runbook/0/field", "usr", "firebreak.runbook.0.field", "no field `usr`", "user"),
    ("firebreak/cases/0/severity", None, "firebreak.cases.0", "states its severity", "match: false"),
    ("firebreak/cases/0/record", {"usr": "a"}, "firebreak.cases.0", "`record` has no field usr", "no field"),
]


@pytest.mark.parametrize(("path", "value", "key", "problem", "allowed"), BROKEN)
def test_refused_by_name(tmp_path: Path, path: str, value: Any, key: str, problem: str, allowed: str) -> None:
    with pytest.raises(RuleError) as caught:
        load(tmp_path, put(path, value))
    error = caught.value
    assert error.file.endswith("long_answer.yml")
    assert error.key == key
    assert problem in error.problem
    assert allowed in error.allowed
    assert all(part in str(error) for part in (error.file, error.key, error.problem, error.allowed))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title: [", "can't be read"),
        ("title: a\ntitle: b", "Duplicate key"),
        ("? [a]\n: b", "can't be read"),
        ("- a", "is not a map"),
        ("", "is not a map"),
        ("a: 1\n---\nb: 2", "can't be read"),
        ("a: " + "[" * 10_000, "can't be read"),
        ("a: !!python/object/apply:os.getcwd []", "can't be read"),
        ("x: &x [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(f"y{i}: &y{i} [*x,*x]\n" for i in range(3)), "missing"),
        ("a: " + "b" * 200_000, "at most"),
    ],
)
def test_a_file_that_is_no_rule_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(RuleError) as caught:
        load(tmp_path, text)
    assert problem.casefold() in str(caught.value).casefold() or "Field required" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "long_answer.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(RuleError, match="can't be read"):
        load_rules(tmp_path)


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="holds no rules"):
        load_rules(tmp_path)


def test_two_rules_may_not_share_an_id(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    with pytest.raises(RuleError, match="is also the id of long-answer"):
        load(tmp_path, put("name", "other"), "other.yml")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
places = st.sampled_from(
    [
        *GOOD,
        "detection/selection",
        "detection/condition",
        "firebreak/cases",
        "firebreak/cases/0/record",
        "firebreak/runbook",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=places, value=junk)
def test_no_value_anywhere_raises_anything_but_a_rule_error(tmp_path: Path, place: str, value: Any) -> None:
    (tmp_path / "long_answer.yml").write_text(yaml.safe_dump(put(place, value)), encoding="utf-8")
    with suppress(RuleError):
        load_rules(tmp_path)


def test_rules_of_ones_own_are_tried_beside_the_shipped_ones(tmp_path: Path) -> None:
    shipped = load_rules()
    text = (SHIPPED / "anomaly_marker.yml").read_text()
    own = tmp_path / "refund_marker.yml"
    own.write_text(
        text.replace("name: anomaly-marker", "name: refund-marker").replace(
            next(rule.uuid for rule in shipped.rules if rule.id == "anomaly-marker"),
            "7d1a4c1e-3a52-4f55-9f0e-3f6f2f2f5d11",
        )
    )
    assert {rule.id for rule in load_rules(own=tmp_path).rules} == {rule.id for rule in shipped.rules} | {
        "refund-marker"
    }
    (tmp_path / "anomaly_marker.yml").write_text(text)
    with pytest.raises(RuleError, match="also the id of anomaly-marker"):
        load_rules(own=tmp_path)
    with pytest.raises(RuleError, match="holds no rules"):
        load_rules(own=tmp_path / "none")
