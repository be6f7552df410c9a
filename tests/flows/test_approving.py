"""respond asking people, in this process, on a real Prefect server: suspended, resumed, killed, answered wrongly."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.states import Cancelled
from pydantic import SecretStr

from firebreak.blocks.events import Event
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.store import PlanChanged, State, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.approvers import KEY_VARIABLE, Verdict
from firebreak.blocks.store.ledger import Outcome
from firebreak.blocks.store.schema import ledger
from firebreak.deployments.system import System
from firebreak.flows import approval
from firebreak.flows.incident_page import page
from tests.flows.approval_drill import ADA, GRACE, KEY, Drill
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def client(prefect_server: System) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def store(client: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    url = f"sqlite:///{tmp_path}/store.db"
    for block in (IncidentStore(url=SecretStr(url)), QuarantineActor()):
        block.save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]
    return Store(url)


def test_only_an_enrolled_persons_unused_code_counts_and_each_other_answer_is_said(
    client: SyncPrefectClient, store: Store
) -> None:
    drill = Drill(client, store)
    assert drill.go() is StateType.PAUSED
    assert drill.answer(ADA, code="") == "REJECT"  # the form has a field for it
    assert drill.answer(ADA, code="12345x") == "REJECT"
    assert drill.answered("Eve", "approve", "012345") is StateType.PAUSED
    assert "nobody of the name Eve is enrolled" in drill.form
    assert drill.answered(ADA, "approve", drill.code(ADA, -9)) is StateType.PAUSED
    assert "wrong code" in drill.form
    assert "wrong code" in page(store, drill.incident_id)
    assert (drill.state, store.holds.all()) == (State.AWAITING_APPROVAL, [])
    assert drill.answered(ADA) is StateType.COMPLETED
    assert drill.verdicts == [Verdict.UNKNOWN_PERSON, Verdict.WRONG_CODE, Verdict.COUNTED]
    assert (drill.asked.decision, drill.asked.decided_by) == (Decision.APPROVE, ADA)
    assert (drill.state, len(store.holds.all())) == (State.CONTAINED, 1)


def test_two_people_are_asked_one_after_the_other(client: SyncPrefectClient, store: Store) -> None:
    drill = Drill(client, store, "two")
    assert drill.go() is StateType.PAUSED
    assert "Approved by 0 of 2 people" in drill.form
    assert drill.answered(ADA) is StateType.PAUSED
    assert "Approved by 1 of 2 people: Ada Lovelace at" in drill.form
    assert "Approved by 1 of 2 people: Ada Lovelace at" in page(store, drill.incident_id)
    assert drill.answered(ADA, "approve", drill.code(ADA, 1)) is StateType.PAUSED
    assert "it takes two different people" in drill.form
    assert store.holds.all() == []
    assert drill.answered(GRACE) is StateType.COMPLETED
    assert drill.asked.decided_by == "Ada Lovelace and Grace Hopper"
    assert drill.state is State.CONTAINED
    assert "two: Ada Lovelace and Grace Hopper" in page(store, drill.incident_id)


def test_one_of_two_refuses_and_nothing_is_done(client: SyncPrefectClient, store: Store) -> None:
    drill = Drill(client, store, "two")
    drill.go()
    drill.answered(ADA)
    assert drill.answered(GRACE, "refuse") is StateType.COMPLETED
    assert (drill.asked.decision, drill.asked.decided_by) == (Decision.REFUSE, GRACE)
    assert (drill.state, store.holds.all()) == (State.NEEDS_PERSON, [])


def test_without_identity_form_page_timeline_and_ledger_say_unidentified(
    client: SyncPrefectClient, store: Store
) -> None:
    drill = Drill(client, store, identity="none", enrolled=())
    drill.go()
    assert "unidentified" in drill.form
    assert "unidentified" in page(store, drill.incident_id)
    assert drill.answer("Ada", code="123456") == "REJECT"  # a field that isn't there
    assert drill.answer("Ada", code="") == "ACCEPT"
    assert drill.go() is StateType.COMPLETED
    assert store.ledger.rows(drill.incident_id)[0].decided_by == drill.asked.decided_by == "Ada (unidentified)"
    assert "approve** by Ada \\(unidentified\\)" in page(store, drill.incident_id).replace("&#40;", "\\(")


def test_while_nobody_is_enrolled_the_form_and_the_page_say_how(client: SyncPrefectClient, store: Store) -> None:
    drill = Drill(client, store, enrolled=())
    drill.go()
    how = "`python -m firebreak.deployments.approvers enrol NAME`"
    assert how in drill.form
    assert how in page(store, drill.incident_id)


def test_an_answer_its_run_did_not_live_to_record_is_taken_by_the_next_run_once(
    client: SyncPrefectClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill = Drill(client, store, "two")
    drill.go()
    assert drill.answer(ADA, code=drill.code(ADA, -9)) == "ACCEPT"
    drill.start()  # the answered run is dead

    def killed(*_: object) -> None:
        raise ConnectionError("killed after recording, before the answer was deleted")

    with monkeypatch.context() as patched:
        patched.setattr(approval, "forget", killed)
        with pytest.raises(ConnectionError):
            drill.go()
    assert drill.verdicts == [Verdict.WRONG_CODE]
    drill.start()
    assert drill.go() is StateType.PAUSED
    assert drill.answered(ADA) is StateType.PAUSED
    drill.start()
    assert drill.go() is StateType.PAUSED
    assert drill.verdicts == [Verdict.WRONG_CODE, Verdict.COUNTED]
    assert drill.answered(GRACE) is StateType.COMPLETED
    assert drill.state is State.CONTAINED


def test_two_runs_asking_for_the_same_plan_make_one_decision(client: SyncPrefectClient, store: Store) -> None:
    drill = Drill(client, store)
    first = drill.run
    drill.go()
    drill.start()
    drill.go()
    assert drill.answer(ADA, "approve", run=first) == "ACCEPT"
    assert drill.answer(GRACE, "refuse") == "ACCEPT"
    assert drill.answer(GRACE, "refuse") == "ABORT"  # this form was answered a moment ago
    assert drill.go() is StateType.COMPLETED  # finds the other run's answer first
    drill.run = first
    assert drill.go() is StateType.COMPLETED
    assert (drill.asked.decision, drill.asked.decided_by) == (Decision.APPROVE, ADA)
    assert drill.verdicts == [Verdict.COUNTED, Verdict.LATE]
    assert "the request had ended as approve" in page(store, drill.incident_id)
    assert drill.state is State.CONTAINED


def test_a_cancelled_run_takes_no_answer(client: SyncPrefectClient, store: Store) -> None:
    drill = Drill(client, store)
    drill.go()
    client.set_flow_run_state(drill.run, Cancelled(), force=True)
    assert drill.answer(ADA) != "ACCEPT"
    assert drill.verdicts == []


def test_an_answer_that_is_taken_up_after_expiry_is_a_no(client: SyncPrefectClient, store: Store) -> None:
    drill = Drill(client, store, minutes=0.05)
    drill.go()
    assert drill.answer(ADA) == "ACCEPT"
    until(lambda: store.now >= drill.asked.expires_at, 10, "expiry")
    assert drill.go() is StateType.COMPLETED
    assert (drill.asked.decision, drill.verdicts) == (Decision.EXPIRED, [Verdict.EXPIRED])
    assert (drill.state, store.holds.all()) == (State.NEEDS_PERSON, [])


@pytest.mark.parametrize(
    ("decision", "event"),
    [(Decision.EXPIRED, Event.APPROVAL_EXPIRED), (Decision.APPROVE, Event.APPROVAL_DECIDED)],
)
def test_a_request_that_ended_without_its_run_is_said_by_the_next_one(
    client: SyncPrefectClient, store: Store, monkeypatch: pytest.MonkeyPatch, decision: Decision, event: Event
) -> None:
    """Expired and decided by `reconcile`, or answered to a run that was killed before its event."""
    drill, sent = Drill(client, store), list[Event]()
    drill.go()
    steps = [row.digest for row in store.ledger.rows(drill.incident_id)]
    store.approvals.decide(drill.incident_id, drill.asked.plan_digest, decision, "firebreak", "drill", steps)
    monkeypatch.setattr("firebreak.flows.respond.send", lambda what, *_, **__: sent.append(what))
    drill.start()
    assert drill.go() is StateType.COMPLETED
    assert sent[0] is event
    assert sent.count(event) == 1


@pytest.mark.parametrize(
    "changed",
    [{"target": "ada"}, {"parameters": {"kind": "quarantine-user", "workflow": "other"}}, {"approval": "auto"}],
)
def test_a_row_that_was_changed_after_the_approval_is_not_carried_out(
    client: SyncPrefectClient, store: Store, changed: dict[str, Any]
) -> None:
    drill = Drill(client, store)
    drill.go()
    assert drill.answer(ADA) == "ACCEPT"
    with store._db.write() as conn:
        conn.execute(sa.update(ledger).values(**changed))
    with pytest.raises(PlanChanged):
        drill.go()
    assert (drill.state, store.holds.all()) == (State.NEEDS_PERSON, [])
    assert store.ledger.rows(drill.incident_id)[0].state is Outcome.PLANNED


def test_codes_and_seeds_leave_no_trace_in_prefect(
    client: SyncPrefectClient, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    drill = Drill(client, store)
    drill.go()
    secrets = [drill.code(ADA, -9), drill.code(ADA), *drill.seeds.values(), KEY]
    drill.answered(ADA, "approve", secrets[0])
    drill.answered(ADA, "approve", secrets[1])
    assert drill.asked.decision is Decision.APPROVE
    APILogWorker.drain_all()
    EventsWorker.drain_all()
    answers = [
        client.request("POST", "/logs/filter", json={}),
        client.request("POST", "/artifacts/filter", json={}),
        client.request("POST", "/flow_runs/filter", json={}),
        client.request("POST", "/task_runs/filter", json={}),
        client.request("POST", "/events/filter", json={"limit": 50}),
        client.request("POST", "/block_documents/filter", json={"include_secrets": True}),
    ]
    kept = json.dumps([answer.json() for answer in answers])
    inputs = [place.value for place in client.filter_flow_run_input(drill.run, "", limit=200, exclude_keys=set())]
    assert "approval-requested" in kept
    assert "IdentifiedForm" in json.dumps(inputs)
    text = kept + json.dumps(inputs) + caplog.text + page(store, drill.incident_id)
    assert [secret for secret in secrets if re.search(rf"(?<![\w.]){re.escape(secret)}(?!\w)", text)] == []
