"""What an incident's page says comes next."""

from typing import Any

import pytest

from firebreak.blocks.store import Batch, State, Store
from firebreak.detectors.findings import ActorType
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
