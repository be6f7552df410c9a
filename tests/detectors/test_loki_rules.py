"""The rules as a Loki ruler file: what LogQL's own grammar takes, and no line filtered out that a rule would match."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from firebreak.detectors.facts import Facts
from firebreak.detectors.literals import required
from firebreak.detectors.loki_query import filters, line_filter, quoted, words_of
from firebreak.detectors.loki_rules import SELECTOR, export, main, written
from firebreak.detectors.patterns import regex
from firebreak.detectors.rules import Rule, RuleSet, load_rules
from firebreak.detectors.views import View
from tests.detectors.correlating import base_rule, call, correlation, rules_of, write
from tests.detectors.rulebook import rules_for
from tests.lezer_logql import errors

SHIPPED = load_rules()
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
PATTERNS = sorted({a.pattern.pattern for a in SHIPPED.matcher.atoms if a.pattern is not None})

EXPORTED = export(SHIPPED)
FILTERED = [
    (one.rule, line_filter(words_of(one.rule.tree)))
    for one in EXPORTED
    if isinstance(one.rule, Rule) and one.alert is not None and line_filter(words_of(one.rule.tree))
]


@cache
def matching(pattern: str) -> st.SearchStrategy[str]:
    """Texts that Python's reading of an RE2 pattern takes."""
    return st.from_regex(pattern.replace(r"\z", r"\Z")).map(lambda text: text.encode("utf-8", "replace").decode())


def expressions(rules: RuleSet) -> dict[str, str]:
    return {one.rule.id: one.alert["expr"] for one in export(rules) if one.alert is not None}


def unquoted(text: str) -> str:
    """A LogQL string's value, read as Loki reads it (a Go string)."""
    return re.sub(r"\\(x..|.)", lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 3 else m[1], text)


def encoded(text: str, escaped: list[bool]) -> str:
    """A JSON string in which each character is escaped, or not, as ``escaped`` says: one of many legal ways."""
    out = []
    for number, char in enumerate(text):
        if escaped[number % len(escaped)]:
            units = char.encode("utf-16-be", "surrogatepass")
            out += [f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)]
        else:
            out.append(json.dumps(char, ensure_ascii=False)[1:-1])
    return f'"{"".join(out)}"'


def lets_through(filter_text: str, line: str) -> bool:
    return all(regex(unquoted(found)).search(line) for found in STRING.findall(filter_text))


def test_every_shipped_expression_parses() -> None:
    found = expressions(SHIPPED)
    assert {"prompt-injection-override", "denied-burst-of-token", "token-from-many-addresses"} <= set(found)
    assert dict(zip(found, errors(list(found.values())), strict=True)) == {name: [] for name in found}


def test_a_broken_expression_would_be_seen() -> None:
    assert errors([f"count_over_time({SELECTOR} | json | user=~ [5m])", f"{SELECTOR} |= unquoted"]) != [[], []]


SELECTIONS: list[dict[str, Any]] = [
    {"prompt|contains": 'say "x" \\ or `y`'},
    {"prompt|re": r"(?i)\bpa[rs]cel\s+\"late\"\n\t"},
    {"response": "a?c*\nnew"},
    {"user|startswith": "ad", "model|endswith": "é-ü"},
    {"latency_ms|gt": 0.0000001, "cost|lte": 12, "status": [401, 403]},
    {"source_address|cidr": ["10.0.0.0/8", "2001:db8::/32"]},
    {"user|exists": True, "token_id": None},
    {"prompt.user|contains|all": ["red", "blue"]},
]


@pytest.mark.parametrize("condition", ["one and two", "one or not two", "not (one and two)", "one and not two"])
def test_every_kind_of_condition_parses(condition: str) -> None:
    named = [{"one": one, "two": two, "condition": condition} for one in SELECTIONS for two in SELECTIONS[:7]]
    found = expressions(rules_for(*named))
    assert len(found) >= 42
    assert [fault for fault in errors(list(found.values())) if fault] == []


@pytest.mark.parametrize("operator", ["gt", "gte", "lt", "lte", "eq"])
@pytest.mark.parametrize("groups", [["token_id"], ["token_id", "workflow"]])
def test_every_kind_of_correlation_parses(operator: str, groups: list[str]) -> None:
    of_values = correlation("values", type="value_count", condition={operator: 3, "field": "user"}, group_by=groups)
    rules = rules_of(base_rule(), correlation(condition={operator: 3}, group_by=groups), of_values)
    assert errors(list(expressions(rules).values())) == [[], []]


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ({"prompt|contains": 'say "x" \\ or `y`'}, 'I SAY "x" \\ or `Y`.\n'),
        ({"prompt": "a?c*"}, "abcd\ne"),
        ({"prompt|re": r"^\s*x\\y"}, "\n x\\y\nz"),
        ({"prompt|contains": "\x07bell\ttab"}, "a \x07bell\ttab"),
    ],
)
def test_escapes_say_in_logql_what_they_say_in_sigma(selection: dict[str, Any], text: str) -> None:
    rules = rules_for({"selection": selection})
    condition = filters(rules.rules[0].tree, [])
    [pattern] = STRING.findall(condition)
    for changed in (text, text + "!", "!" + text, text.replace("x", "y"), text.replace("b", "\n")):
        matched = bool(rules.inspect(call(1, 1, prompt=changed), Facts()))
        assert bool(regex(rf"\A(?:{unquoted(pattern)})\z").search(changed)) is matched


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), escaped=st.lists(st.booleans(), min_size=1, max_size=7))
def test_no_line_is_filtered_out_whose_record_a_rule_matches(data: st.DataObject, escaped: list[bool]) -> None:
    rule, filtered = data.draw(st.sampled_from(FILTERED))
    atom = SHIPPED.matcher.atoms[data.draw(st.sampled_from(rule.speaking))]
    text = data.draw(matching(atom.pattern.pattern))
    field = "prompt" if atom.field == "prompt.user" else atom.field
    record = call(1, 1, **{field: text})
    assume(rule.condition(SHIPPED.matcher.hits(View(record, Facts()))))
    line = f'{{"time": "2026-03-01T00:00:00Z", "{field}": {encoded(text, escaped)}}}'
    assert json.loads(line)[field] == text
    assert lets_through(filtered, line)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), pattern=st.sampled_from(PATTERNS), escaped=st.lists(st.booleans(), min_size=1, max_size=7))
def test_a_pattern_s_words_are_in_every_match(data: st.DataObject, pattern: str, escaped: list[bool]) -> None:
    text = data.draw(matching(pattern))
    assume(regex(pattern).search(text))
    assert lets_through(line_filter(required(pattern)), encoded(text, escaped))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(?i)\b(?:ignore|drop) the (?:rules|orders)", {"ignore the rules", "ignore the orders", "drop the rules",
                                                         "drop the orders"}),
        (r"foo(bar)?", {"foo", "foobar"}),
        (r"(abc|x*)def|ghi", {"def", "ghi"}),
        (r"(?:abcd)*ef", None),
        (r"(?:abcd)+ef", {"abcd"}),
        (r"[[:alpha:]]]]]", None),
        (r"\pL+word", None),
        (r"a/bc\"de", None),
        (r"(?:a|b|c|d|e|f|g|h|i)(?:1|2|3|4|5|6|7|8|9)xyz", {f"{n}xyz" for n in range(1, 10)}),
    ],
)  # fmt: skip
def test_words(pattern: str, words: set[str] | None) -> None:
    assert required(pattern) == words


def test_what_can_t_be_said_is_said_per_rule() -> None:
    notes = {one.rule.id: one.notes for one in EXPORTED}
    said = {one.rule.id for one in EXPORTED if one.alert is not None}
    assert "canary_in_response" in notes["canary-in-response"][0]
    assert "own baseline" in notes["usage-error-rate"][0]
    assert "raises nothing" in notes["call-denied"][0]
    assert "can't split" in notes["prompt-injection-override"][0]
    assert "prompt.document" in notes["prompt-injection-indirect"][0]
    assert "prompt-injection-indirect" not in said
    assert all(notes[name] for name in notes if name not in said)


def test_the_file_is_yaml_with_labels_and_a_comment_for_each_difference() -> None:
    text = written(EXPORTED)
    [group] = yaml.safe_load(text)["groups"]
    for alert in group["rules"]:
        assert {"severity", "kind", "rule"} <= set(alert["labels"])
        assert set(alert) == {"alert", "expr", "for", "labels", "annotations"}
    assert len({alert["alert"] for alert in group["rules"]}) == len(group["rules"])
    assert "# canary-in-response: not exported: " in text


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, base_rule(), correlation())
    assert main([str(tmp_path), "--selector", '{app="shop"}']) == 0
    out, err = capsys.readouterr()
    alerts = {alert["labels"]["rule"]: alert["expr"] for alert in yaml.safe_load(out)["groups"][0]["rules"]}
    lines = '{app="shop"} | json | status==401 | token_id!="" | __error__=""'
    assert alerts["many"] == f"sum by (token_id) (count_over_time({lines} [60s])) >= 3"
    assert re.search(r"\d+ exported whole, \d+ with a difference, \d+ not\n$", err)
    assert main([str(tmp_path / "none")]) == 1
    assert "holds no rules" in capsys.readouterr().err


def test_strings_are_quoted_as_logql_reads_them() -> None:
    text = 'a"b\\c\x00\n\x7fé`'
    assert unquoted(STRING.fullmatch(quoted(text))[1]) == text  # type: ignore[index]
