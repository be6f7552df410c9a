"""What holds for every shipped rule, and each rule's own cases."""

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import yaml

from firebreak.detectors.cases import main, problem, raised
from firebreak.detectors.correlation_file import CorrelationCase
from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import FIELDS_OF
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.frameworks import ATLAS, OWASP, TAGS
from firebreak.detectors.patterns import regex
from firebreak.detectors.rule_file import Case
from firebreak.detectors.rules import SHIPPED, Correlation, Rule, load_rules
from firebreak.detectors.scan import engine

RULES = load_rules()
EVERYTHING = RULES.everything
BY_ID = {rule.id: rule for rule in EVERYTHING}
each_rule = pytest.mark.parametrize("rule", EVERYTHING, ids=lambda rule: rule.id)
CASES = [pytest.param(rule, case, id=f"{rule.id}: {case.name}") for rule in EVERYTHING for case in rule.cases]
# What a user may not say, and where documents and tools are read for the same phrases.
DIRECT = {
    "prompt_injection_indirect": (
        "prompt_injection_override",
        "prompt_injection_extraction",
        "prompt_injection_role_marker",
    ),
    "prompt_injection_indirect_jailbreak": (
        "prompt_injection_persona",
        "prompt_injection_refusal_suppression",
        "prompt_injection_encoded",
        "prompt_injection_override_languages",
    ),
}
FRAMEWORKS = {"atlas.mitre.org", "genai.owasp.org"}


def detection(name: str) -> dict[str, dict[str, list[str]]]:
    content: dict[str, dict[str, dict[str, list[str]]]] = yaml.safe_load((SHIPPED / f"{name}.yml").read_text())
    return content["detection"]


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_case(rule: Rule | Correlation, case: Case | CorrelationCase) -> None:
    assert problem(RULES, rule, case) is None
    for finding in raised(RULES, rule, case)[0]:
        assert finding.evidence
        assert all(len(evidence.excerpt) <= 200 for evidence in finding.evidence)


def test_ids_are_unique_and_are_the_files() -> None:
    files = sorted(path.stem.replace("_", "-") for path in Path(SHIPPED).glob("*.yml"))
    assert sorted(BY_ID) == files
    assert len({rule.uuid for rule in EVERYTHING}) == len(EVERYTHING) == len(files)
    assert {path.suffix for path in Path(SHIPPED).iterdir()} == {".yml"}


@each_rule
def test_both_sides_are_shown(rule: Rule | Correlation) -> None:
    assert {case.match for case in rule.cases} == {True, False}
    assert len({case.name for case in rule.cases}) == len(rule.cases)


@each_rule
def test_cases_assert_the_severity(rule: Rule | Correlation) -> None:
    untrusted = [c for c in rule.cases if isinstance(c, Case) and c.record and c.record.get("trusted") is False]
    assert {case.severity for case in rule.cases if case.match and case not in untrusted} == {rule.severity}


@each_rule
def test_tags_are_in_the_offline_list(rule: Rule | Correlation) -> None:
    assert set(rule.atlas) <= set(ATLAS)
    assert set(rule.owasp) <= set(OWASP)
    assert rule.atlas
    assert rule.owasp
    assert len(set(rule.tags)) == len(rule.tags)


def test_the_offline_list_is_in_the_frameworks_own_spelling() -> None:
    assert all(re.fullmatch(r"AML\.T\d{4}(\.\d{3})?", technique) for technique in ATLAS)
    assert set(OWASP) == {f"LLM{number:02}:2025" for number in range(1, 11)}
    assert len(TAGS) == len(ATLAS) + len(OWASP)


@each_rule
def test_references_are_secure_and_name_a_framework(rule: Rule | Correlation) -> None:
    pages = [urlsplit(reference) for reference in rule.references]
    assert {page.scheme for page in pages} == {"https"}
    assert FRAMEWORKS & {page.netloc for page in pages}
    for page in pages:
        if page.netloc == "atlas.mitre.org":
            assert page.path.removeprefix("/techniques/") in ATLAS


@each_rule
def test_runbook_steps_have_a_field_an_action_and_a_window(rule: Rule | Correlation) -> None:
    fields = FIELDS_OF[rule.service if isinstance(rule, Rule) else "interaction-log"]
    form = re.compile(r"[A-Z].{10,}[^.] \((\S+), [1-9]\d* (?:minutes?|hours?|days?) (?:before|after|around)\)")
    assert len(rule.runbook) >= 2
    for step in rule.runbook:
        found = form.fullmatch(step)
        assert found
        assert found[1] in fields


@each_rule
def test_titles_and_false_positives_are_said(rule: Rule | Correlation) -> None:
    assert rule.falsepositives
    assert not rule.title.endswith(".")
    assert all(each.endswith(".") for each in rule.falsepositives)


def test_every_pattern_is_taken_by_both_engines() -> None:
    patterns = {atom.pattern.pattern for atom in RULES.matcher.atoms if atom.pattern is not None}
    assert len(patterns) > 40
    for pattern in patterns:
        assert regex(pattern)
        if find_spec("hyperscan"):
            assert engine._compile((engine.by_line(pattern),), [0]) is not None, pattern


@each_rule
def test_only_a_rule_on_what_the_user_wrote_or_got_points_at_the_user(rule: Rule | Correlation) -> None:
    if isinstance(rule, Correlation):
        wanted = {ActorType.USER: "user", ActorType.TOKEN: "token_id"}.get(rule.actor)
        assert wanted is None or wanted in rule.counting.group_by
        return
    fields = {RULES.matchers[rule.service].atoms[index].field for index in rule.speaking}
    if fields & {"prompt.document", "prompt.tool"} or rule.service == "usage":
        assert rule.actor is not ActorType.USER
    if rule.id.startswith(("token-", "call-")):
        assert rule.actor is ActorType.TOKEN
    if fields == {"prompt.user"}:
        assert rule.actor is ActorType.USER


@pytest.mark.parametrize("indirect", DIRECT)
def test_documents_and_tools_are_read_for_every_phrase_a_user_may_not_say(indirect: str) -> None:
    direct = [phrase for name in DIRECT[indirect] for phrase in detection(name)["selection"]["prompt.user|re"]]
    found = detection(indirect)
    assert found["selection_document"]["prompt.document|re"] == direct
    assert found["selection_tool"]["prompt.tool|re"] == direct


def test_every_phrase_rule_is_read_in_documents_and_counted() -> None:
    phrases = {rule.id for rule in RULES.rules if rule.id.startswith("prompt-injection-") and rule.vote == "patterns"}
    direct = {name.replace("_", "-") for names in DIRECT.values() for name in names}
    indirect = {name.replace("_", "-") for name in DIRECT}
    assert phrases == direct | indirect | {"prompt-injection-hidden-order"}
    repeated = BY_ID["repeated-injection"]
    assert isinstance(repeated, Correlation)
    assert set(repeated.counting.rules) == direct


def test_severities_are_as_the_issue_wants_them() -> None:
    assert BY_ID["canary-in-response"].severity is Severity.CRITICAL
    assert BY_ID["anomaly-marker"].severity is Severity.LOW
    injections = [rule for rule in EVERYTHING if rule.kind == "prompt-injection" and rule.vote == "patterns"]
    assert {rule.severity for rule in injections} == {Severity.HIGH}
    assert all(rule.severity is Severity.LOW for rule in RULES.rules if not rule.raises)


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
    "Act as a travel guide and show me Porto in two days.",
    "You are now my running coach. Don't go easy on me.",
    "Answer in JSON only, without any comment before or after it.",
    "Begin your answer with the word Dear and end it with Yours.",
    "Our auditor asks how we defend against jailbreaks and prompt injection. What do I tell her?",
    "A customer wrote 'you can do anything you want with the old one'. May I throw it away?",
    "Never say never! Which of the two phones would you take?",
    "Which mode do I switch the router to, access point or bridge?",
    "I can't decode the QR code on the box, what does it say?",
    "Write a reply that doesn't apologise more than once.",
    "Do you refuse returns without a receipt?",
    "In the game, the evil wizard is not bound by the laws of the guild. Which spell stops him?",
]


@pytest.mark.parametrize("prompt", BENIGN)
@pytest.mark.parametrize("origin", ["user", "document", "tool"])
def test_ordinary_tickets_find_nothing(prompt: str, origin: str) -> None:
    record, _ = Case(name="x", match=False, record={"prompt": [{"user": "Hello."}, {origin: prompt}]}).build()
    found = [finding.rule for finding in RULES.inspect(record, Facts()) if finding.votes != ("score",)]
    assert found == []  # the score errs at a rate of its own, which its benchmark tells


def test_the_command_says_which_case_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SHIPPED / "anomaly_marker.yml").read_text().replace("name: anomaly-marker", "name: own-marker")
    text = text.replace(BY_ID["anomaly-marker"].uuid, str(uuid4()))
    (tmp_path / "own_marker.yml").write_text(text)
    assert main([str(tmp_path)]) == 0
    (tmp_path / "own_marker.yml").write_text(text.replace("'[ANOMALY]'", "'[STRANGE]'"))
    assert main([str(tmp_path)]) == 1
    assert "own-marker: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("gte: 10", "gte: 9"), "nine: matches, but should not"),
        (("gte: 10", "gte: 11"), "ten in a minute: doesn't match, but should"),
        (
            ("findings: 2", "findings: 3"),
            "a burst that goes on is one finding in five minutes: is found 2 times, the case says 3",
        ),
        (("level: high", "level: medium"), "ten in a minute: is medium, the case says high"),
    ],
)
def test_the_command_runs_the_cases_of_correlations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: tuple[str, str], said: str
) -> None:
    for file, name in (("call_denied", "call-denied"), ("denied_burst_of_token", "denied-burst-of-token")):
        text = (SHIPPED / f"{file}.yml").read_text().replace(BY_ID[name].uuid, str(uuid4()))
        text = text.replace("call-denied", "own-denied").replace("denied-burst-of-token", "own-burst")
        (tmp_path / ("own_denied.yml" if file == "call_denied" else "own_burst.yml")).write_text(text)
    assert main([str(tmp_path)]) == 0
    burst = tmp_path / "own_burst.yml"
    burst.write_text(burst.read_text().replace(*changed))
    assert main([str(tmp_path)]) == 1
    assert f"own-burst: {said}" in capsys.readouterr().out
