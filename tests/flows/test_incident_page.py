"""What an incident's page says comes next."""

from typing import Any

import pytest

from firebreak.blocks.store import Batch, State, Store
from firebreak.detectors.allowlist import Allow
from firebreak.detectors.findings import ActorType
from firebreak.flows.asking import TURN
from firebreak.flows.incident_page import page
from tests.stores import finding


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({}, "for incident 1, which undoes everything below."),
        (
            {"actor_type": ActorType.DATASET, "actor": "tickets", "kind": "drift", "token_id": None},
            "for incident 1: `resolved` keeps a promotion, a roll-back and a new reference, `false-positive` undoes",
        ),
    ],
)
def test_a_release_is_not_said_to_undo_what_it_keeps(store: Store, about: dict[str, Any], says: str) -> None:
    store.report(Batch(findings=[finding("r1", **about)]), "scan")
    for state in (State.TRIAGED, State.RESPONDING, State.CONTAINED):
        store.incidents.move(1, state, "test")
    assert says in page(store, 1)


def test_what_was_joined_dropped_and_allowed_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firebreak.blocks.store.reporting.KEPT_FINDINGS", 2)
    entry = Allow(rule="x", workflow="answer-tickets", user="mallory", reason="a course", until=store.now.date())
    theirs = Allow(rule="x", workflow="answer-tickets", user="eve", reason="a course", until=store.now.date())
    store.registers.put_policy("version: 1", [], [entry, theirs])
    store.report(Batch(findings=[finding(f"r{n}") for n in range(5)]), "scan")
    store.report(Batch(allowed={entry.name: 7, theirs.name: 8}), "scan")
    store.incidents.move(1, State.FALSE_POSITIVE, "ada")
    store.report(Batch(findings=[finding("r0", rule="another")]), "scan")
    text = page(store, 1)
    counted = text[text.index("## Counted") : text.index("## Runbook")]
    assert "- 4 joined this incident" in counted
    assert "- 3 of them beyond what is kept" in counted
    assert "- 1 afterwards, about records that a person has called harmless" in counted
    assert "- 7 kept back by the allow-list" in counted
    assert "eve" not in counted


def test_one_that_waits_its_turn_says_so(store: Store) -> None:
    store.report(Batch(findings=[finding("r1")]), "scan")
    store.incidents.move(1, State.TRIAGED, "test", triage={TURN: True, "steps": [{}]})
    assert "you are asked about the rest when others have been answered" in page(store, 1)
