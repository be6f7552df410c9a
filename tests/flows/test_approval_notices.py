"""Reminders and escalations: each once, through Prefect's notification blocks, and what is not known is said."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client

from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.deployments.system import System
from firebreak.flows.approval_notices import remind
from firebreak.flows.runs import Runs
from tests.stores import Clock, finding
from tests.web_server import Asked, WebServer, web_server

pytestmark = pytest.mark.integration
POLICY = """
version: 1
approval:
  expires_minutes: 30
  remind_minutes: 10
  escalate:
    - {minutes: 5, notify: custom-webhook/lead}
    - {minutes: 2, notify: custom-webhook/nobody}
playbooks: []
"""


@pytest.fixture
def client(prefect_server: System) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def store(client: SyncPrefectClient, tmp_path: Path, clock: Clock) -> Store:
    store = Store(f"sqlite:///{tmp_path}/store.db", clock)
    store.registers.put_policy(POLICY)
    return store


@pytest.fixture
def lead() -> Iterator[WebServer]:
    """Where the next people's messages go."""

    def answer(asked: Asked) -> tuple[int, Any]:
        return 200, {}

    with web_server(answer) as server:
        block = CustomWebhookNotificationBlock(
            name="lead", url=server.url, json_data={"text": "{{subject}}: {{body}}"}, headers=None, cookies=None
        )
        block.save("lead", overwrite=True, _sync=True)  # type: ignore[call-arg]
        yield server


@pytest.fixture
def incident_id(store: Store) -> int:
    """Its request for approval expires half an hour from now."""
    opened = store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]
    for state in (State.TRIAGED, State.RESPONDING):
        store.incidents.move(opened, state, "test")
    store.approvals.ask(opened, "digest", "run-1", store.now + timedelta(minutes=30))
    return opened


def told(store: Store, incident_id: int) -> list[tuple[str, str]]:
    entries = store.incidents.timeline(incident_id)
    return [(e.entry, e.detail["state"]) for e in entries if "notice" in e.detail]


def test_each_is_told_once_when_it_is_due_and_a_failure_is_said(
    store: Store,
    clock: Clock,
    client: SyncPrefectClient,
    incident_id: int,
    lead: WebServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "firebreak.notify")
    runs = Runs(client)
    assert remind(store, runs) == []
    clock.forward(20 * 60)
    for _ in range(3):
        remind(store, runs)
    assert [r.getMessage().split(",")[0] for r in caplog.records if r.name == "firebreak.notify"] == [
        f"[high] incident {incident_id}: a decision is needed by 12:30 UTC"
    ]
    assert lead.asked == []
    clock.forward(5 * 60)
    for _ in range(3):
        remind(store, runs)
    (message,) = lead.asked
    assert "Answer the form of flow run run-1" in message.body["text"]
    clock.forward(3 * 60)
    for _ in range(3):
        remind(store, runs)
    assert told(store, incident_id) == [
        ("approval-reminded", "succeeded"),
        ("approval-escalated-1", "succeeded"),
        ("approval-escalated-2", "failed"),
    ]


def test_nobody_is_told_about_what_is_decided_or_expired(
    store: Store, clock: Clock, client: SyncPrefectClient, incident_id: int
) -> None:
    clock.forward(31 * 60)
    assert remind(store, Runs(client)) == []
    clock.forward(-10 * 60)
    store.approvals.decide(incident_id, "digest", Decision.REFUSE, "Ada", "", [])
    assert remind(store, Runs(client)) == []
    assert told(store, incident_id) == []


def test_a_message_whose_sender_died_is_not_sent_again_and_is_said_to_be_unknown(
    store: Store, clock: Clock, client: SyncPrefectClient, incident_id: int
) -> None:
    clock.forward(20 * 60)
    (asked,) = store.approvals.of_incident(incident_id)
    assert store.approvals.claim_notice(asked, "reminded", "log")
    assert remind(store, Runs(client)) == []
    clock.forward(61)
    assert remind(store, Runs(client)) == [f"incident {incident_id}: notice reminded: whether it was sent is unknown"]
    assert remind(store, Runs(client)) == []
    assert told(store, incident_id) == [("approval-reminded", "unknown")]
