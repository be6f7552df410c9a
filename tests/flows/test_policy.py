from datetime import date
from pathlib import Path

import pytest

from firebreak.blocks.store import Batch, Store
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.records import Origin
from firebreak.flows.policy import PolicyError, expired, parse_policy, read_policy
from tests.stores import finding

SHIPPED = Path(__file__).parents[2] / "deployments" / "policy.yml"


@pytest.mark.parametrize(
    ("kind", "severity", "playbook", "approvals"),
    [
        ("prompt-leak", Severity.CRITICAL, "stop-the-leak", ["auto", "auto", "one"]),
        ("prompt-injection", Severity.HIGH, "hold-the-actor", ["auto", "auto"]),
        ("unauthorised-use", Severity.HIGH, "hold-the-actor", ["auto", "auto"]),
        ("anomaly", Severity.LOW, "watch", []),
    ],
)
def test_the_shipped_policy_answers_each_kind(
    store: Store, kind: str, severity: Severity, playbook: str, approvals: list[str]
) -> None:
    _, policy = read_policy(SHIPPED)
    report = store.report(Batch(findings=[finding("r1", kind=kind, severity=severity)]), "guard")
    chosen = policy.playbook_for(store.incidents.get(report.opened[0][0]))
    assert (chosen.name, [s.approval for s in chosen.steps]) == (playbook, approvals)


def test_an_attack_from_a_document_is_answered_without_touching_the_user(store: Store) -> None:
    _, policy = read_policy(SHIPPED)
    indirect = finding("r1", origin=Origin.DOCUMENT, actor_type=ActorType.WORKFLOW, actor="answer-tickets")
    incident = store.incidents.get(store.report(Batch(findings=[indirect]), "guard").opened[0][0])
    assert [s.action for s in policy.playbook_for(incident).steps] == ["notify-team", "stop-workflow"]


BASE = "version: 1\nplaybooks:\n  - name: a\n    description: b\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: [", "p.yml: not valid YAML"),
        ("- 1", "p.yml: expected a mapping with the keys version"),
        ("version: 2\nplaybooks: []", r"version: Input should be 1"),
        (BASE + "    stepz: []\n", r"playbooks\[0\].stepz: unknown key; allowed here: name, description, when, steps"),
        (
            BASE + "    steps: [{action: stop, approval: maybe}]\n",
            r"steps\[0\].approval: Input should be 'auto', 'one' or 'two'",
        ),
        (BASE + "    steps: [{action: 'rm -rf /'}]\n", r"steps\[0\].action: String should match pattern"),
        (BASE + "    when: {severity: [awful]}\n", r"when.severity\[0\]: Input should be 'low', 'medium'"),
        (BASE + "approval: {expires_minutes: 0}\n", "approval.expires_minutes: Input should be greater than 0"),
        (BASE + "approval: {identity: maybe}\n", "approval.identity: Input should be 'totp' or 'none'"),
        (BASE + "approval: {remind_minutes: 30}\n", "approval: .*30 minutes before expiry is before the request"),
        (BASE + "approval: {escalate: [{minutes: 5}]}\n", r"approval.escalate\[0\].notify: Field required"),
        (BASE + "approval: {escalate: [{min: 5}]}\n", "unknown key; allowed here: minutes, notify"),
        ("version: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_a_broken_policy_is_refused_with_file_key_and_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        parse_policy(text, "p.yml")


ALLOW = """version: 1
playbooks: []
allow:
  - {rule: "prompt-injection-*", workflow: w, user: ada, reason: our own tests, until: 2026-12-31}
"""


def test_the_allow_list_is_read_and_its_days_are_looked_at() -> None:
    policy = parse_policy(ALLOW, "p.yml")
    (entry,) = policy.allow
    assert entry.name == "prompt-injection-* in w for user ada"
    assert expired(policy, date(2026, 1, 1), "p.yml") == expired(policy, date(2026, 12, 31), "p.yml") == []
    assert expired(policy, date(2027, 1, 1), "p.yml") == [
        "allow-list: prompt-injection-* in w for user ada ended on 2026-12-31: it keeps nothing back any more"
    ]
    with pytest.raises(PolicyError, match=r"p.yml: allow: prompt-injection-\* in w .* too far; at most a year"):
        expired(policy, date(2025, 12, 29), "p.yml")


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        (", until: 2026-12-31", "", r"allow\[0\].until: Field required"),
        (" reason: our own tests,", "", r"allow\[0\].reason: Field required"),
        (" user: ada,", "", r"allow\[0\]: .*for a user, a token_id or both"),
        ("until", "untill", "unknown key; allowed here: rule, workflow, user, token_id, contains, reason, until"),
    ],
)
def test_an_entry_of_the_allow_list_that_says_too_little_is_refused(was: str, now: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        parse_policy(ALLOW.replace(was, now), "p.yml")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="can't be read"):
        read_policy(tmp_path / "none.yml")
