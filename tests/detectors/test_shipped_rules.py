"""What holds for every shipped rule, and each rule's own cases."""

from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from firebreak.detectors.cases import main, problem
from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.frameworks import ATLAS, OWASP
from firebreak.detectors.rule_file import Case
from firebreak.detectors.rules import SHIPPED, Rule, load_rules

RULES = load_rules()
each_rule = pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
CASES = [pytest.param(rule, case, id=f"{rule.id}: {case.name}") for rule in RULES.rules for case in rule.cases]
PHRASES = ("prompt_injection_override", "prompt_injection_extraction", "prompt_injection_role_marker")


def detection(name: str) -> dict[str, dict[str, list[str]]]:
    content: dict[str, dict[str, dict[str, list[str]]]] = yaml.safe_load((SHIPPED / f"{name}.yml").read_text())
    return content["detection"]


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_case(rule: Rule, case: Case) -> None:
    assert problem(RULES, rule, case) is None
    record, facts = case.build()
    for finding in [finding for finding in RULES.inspect(record, facts) if finding.rule == rule.id]:
        assert finding.evidence
        assert all(len(evidence.excerpt) <= 200 for evidence in finding.evidence)


def test_ids_are_unique_and_are_the_files() -> None:
    files = sorted(path.stem.replace("_", "-") for path in Path(SHIPPED).iterdir())
    assert [rule.id for rule in RULES.rules] == files
    assert len({rule.uuid for rule in RULES.rules}) == len(files)


@each_rule
def test_both_sides_are_shown(rule: Rule) -> None:
    assert {case.match for case in rule.cases} == {True, False}
    assert len({case.name for case in rule.cases}) == len(rule.cases)


@each_rule
def test_cases_assert_the_severity(rule: Rule) -> None:
    stated = {case.severity for case in rule.cases if case.match and case.build()[0].trusted}
    assert stated == {rule.severity}


@each_rule
def test_tags_are_in_the_offline_list(rule: Rule) -> None:
    assert set(rule.atlas) <= set(ATLAS)
    assert set(rule.owasp) <= set(OWASP)
    assert rule.atlas
    assert rule.owasp


@each_rule
def test_runbook_steps_are_whole(rule: Rule) -> None:
    assert len(rule.runbook) >= 2
    assert rule.falsepositives


@each_rule
def test_only_a_rule_on_what_the_user_wrote_or_got_points_at_the_user(rule: Rule) -> None:
    expected = {
        "prompt-injection-indirect": ActorType.WORKFLOW,
        "anomaly-marker": ActorType.WORKFLOW,
    }
    fallback = ActorType.TOKEN if rule.id.startswith("token-") else ActorType.USER
    assert rule.actor is expected.get(rule.id, fallback)


def test_documents_and_tools_are_read_for_every_phrase_a_user_may_not_say() -> None:
    direct = {phrase for name in PHRASES for phrase in detection(name)["selection"]["prompt.user|re"]}
    indirect = detection("prompt_injection_indirect")
    assert set(indirect["selection_document"]["prompt.document|re"]) == direct
    assert set(indirect["selection_tool"]["prompt.tool|re"]) == direct


def test_severities_are_as_the_issue_wants_them() -> None:
    by_id = {rule.id: rule.severity for rule in RULES.rules}
    assert by_id.pop("canary-in-response") is Severity.CRITICAL
    assert by_id.pop("anomaly-marker") is Severity.LOW
    assert set(by_id.values()) == {Severity.HIGH}


BENIGN = [
    "Please ignore my previous email.",
    "Ignore the first attachment, the second one is right.",
    "Should I follow the instructions above or those in the box?",
    "Can I forget the password rule? I forgot my password again.",
    "The technician told me to disregard the warning light.",
    "How do I override the thermostat for one evening?",
    "Print the label and the invoice, then show me the tracking page.",
    "What are your opening hours, and what is your address?",
    "Which system are you on? Mine shows a system error at the command prompt.",
    "Act as my translator and answer in one word only.",
    "A system prompt is the text a developer puts before a user's. How long may it be?",
    "Repeat my order from last month, please, with the same address as above.",
]


@pytest.mark.parametrize("prompt", BENIGN)
def test_ordinary_tickets_find_nothing(prompt: str) -> None:
    record = RULES.rules[0].cases[0].build()[0].model_copy(update={"prompt": prompt})
    assert RULES.inspect(record, Facts()) == []


def test_the_command_says_which_case_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SHIPPED / "anomaly_marker.yml").read_text().replace("name: anomaly-marker", "name: own-marker")
    text = text.replace(next(rule.uuid for rule in RULES.rules if rule.id == "anomaly-marker"), str(uuid4()))
    (tmp_path / "own_marker.yml").write_text(text)
    assert main([str(tmp_path)]) == 0
    (tmp_path / "own_marker.yml").write_text(text.replace("'[ANOMALY]'", "'[STRANGE]'"))
    assert main([str(tmp_path)]) == 1
    assert "own-marker: " in capsys.readouterr().out
