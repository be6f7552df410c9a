"""What makes the guard's findings act: votes, a guard model's among them, and the allow-list before them."""

from pathlib import Path

import pytest

from firebreak.blocks.guard import ActorQuarantined, AnswerWithheld
from firebreak.blocks.store import State
from firebreak.detectors.allowlist import Allow
from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import Finding
from firebreak.detectors.records import Record
from firebreak.detectors.rules import RuleSet, load_rules
from tests.blocks.guard_models import NO, YES, guard_model_server
from tests.blocks.guarding import ATTACK, WORKFLOW, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def only_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the score had nothing to say: what it makes of a text is not what these tests are about."""
    real = RuleSet.inspect

    def inspect(rules: RuleSet, record: Record, facts: Facts) -> list[Finding]:
        return [found for found in real(rules, record, facts) if found.votes != ("score",)]

    monkeypatch.setattr(RuleSet, "inspect", inspect)


def test_a_pattern_alone_however_often_holds_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    only_patterns(monkeypatch)
    for _ in range(3):
        bench.ask(ATTACK)
    (opened,) = bench.store.incidents.in_states(*State)
    assert (opened.contained_at, bench.store.holds.all()) == (None, [])
    assert bench.findings() >= 3


def test_a_guard_model_that_agrees_is_the_second_vote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_patterns(monkeypatch)
    with guard_model_server() as server:
        bench = Bench(tmp_path, second_opinion=server.model())
        bench.ask("Where is my invoice?")
        assert server.asked == []
        server.says = lambda text: NO
        bench.ask(f"{ATTACK} Please.")
        bench.ask(user="grace")
        server.says = lambda text: YES
        bench.ask(ATTACK)
        assert len(server.asked) == 2  # once a call, though prompt and answer are both inspected
        with pytest.raises(ActorQuarantined):
            bench.ask()


def test_without_the_guard_models_answer_the_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    only_patterns(monkeypatch)
    with guard_model_server() as server:
        server.says = lambda text: "Stop the workflow."
        bench = Bench(tmp_path, second_opinion=server.model())
        for _ in range(3):
            bench.ask(ATTACK)
    assert bench.store.holds.all() == []
    assert [r.getMessage() for r in caplog.records if "guard model" in r.getMessage()] == [
        "guard model: guard answered something else than the asked JSON; choose a model that follows its instructions; "
        "findings go without its vote until it answers again"
    ]


def test_what_the_allow_list_keeps_back_is_counted_and_starts_nothing(bench: Bench) -> None:
    today = bench.clock.now.date()
    mine = {"rule": "prompt-injection-*", "workflow": WORKFLOW, "user": "ada", "reason": "our own tests"}
    allow = [Allow.model_validate(mine | {"until": today})]
    bench.store.registers.put_policy("allow", None, allow)
    bench.ask(ATTACK)
    (kept,) = bench.store.allowed.kept()
    found = [f for f in load_rules().inspect(bench.records()[0], bench.store.facts())]
    assert (kept.entry, kept.seen_by, kept.count) == (allow[0].name, "guard", len(found))
    assert bench.findings() == 0
    bench.ask(ATTACK, user="grace")
    assert {incident.actor for incident in bench.store.incidents.in_states(*State)} == {"grace"}
    bench.clock.forward(24 * 3600)
    bench.ask(ATTACK)
    assert {incident.actor for incident in bench.store.incidents.in_states(*State)} == {"ada", "grace"}


def test_an_allowed_prompt_does_not_allow_its_leaking_answer(bench: Bench) -> None:
    mine = {"rule": "*-*", "workflow": WORKFLOW, "user": "ada", "reason": "x", "until": bench.clock.now.date()}
    with pytest.raises(ValueError, match="rule"):
        Allow.model_validate(mine)
    mine["rule"] = "canary*"
    bench.store.registers.put_policy("allow", None, [Allow.model_validate(mine)])
    with pytest.raises(AnswerWithheld):
        bench.ask(ATTACK, answer=bench.guard.canary(WORKFLOW))


def test_a_canary_issued_a_moment_ago_is_known_in_the_next_answer(bench: Bench) -> None:
    bench.ask()
    with pytest.raises(AnswerWithheld):
        bench.ask(answer=bench.guard.canary(WORKFLOW))
