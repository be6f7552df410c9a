"""triage and release as flows, in this process, on a real Prefect server and a real store."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.store import Batch, Incident, State, Store
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.deployments.system import System
from firebreak.detectors.findings import ActorType, Evidence, Finding, Severity
from firebreak.detectors.records import Origin, Record
from firebreak.flows.incident_page import page
from firebreak.flows.policy import read_policy
from firebreak.flows.release import ReleaseFailed, release
from firebreak.flows.respond import respond
from firebreak.flows.triage import TRIES, triage
from tests.flows.support import responding_blocks
from tests.flows.test_policy import SHIPPED
from tests.stores import finding

pytestmark = pytest.mark.integration
HOSTILE = "</table><script>alert(1)</script> ![x](http://evil.test/?c) | `` ``` {{ 7*7 }} \u202egnp"


@pytest.fixture
def store(prefect_server: System, tmp_path: Path) -> Store:
    store = responding_blocks(tmp_path)
    text, policy = read_policy(SHIPPED)
    store.registers.put_policy(text, policy.tokens)
    return store


def opened(store: Store, one: Finding) -> int:
    return store.report(Batch(findings=[one]), "scan-logs").opened[0][0]


def test_triage_takes_the_gravest_first_and_plans_what_the_policy_says(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firebreak.flows.draining.LANES", 1)
    log = InteractionLog(path=tmp_path / "interactions.jsonl")
    canary = store.canary("answer-tickets")
    answer = f"My reference is {canary.upper()}"
    mine: dict[str, Any] = {"workflow": "answer-tickets", "user": "mallory", "prompt": HOSTILE, "response": answer}
    log.append(Record(id="r2", time=store.now, **mine))
    low = opened(store, finding("r1", kind="anomaly", severity=Severity.LOW, actor_type=ActorType.WORKFLOW, actor="w"))
    high = opened(store, finding("r2").model_copy(update={"time": store.now}))
    assert triage() == "2 triaged, 0 left to others or to the next run"
    first, second = store.incidents.get(high), store.incidents.get(low)
    assert first.updated_at < second.updated_at
    assert first.triage
    assert first.triage["playbook"] == "hold-the-actor"
    assert [s["action"] for s in first.triage["steps"]] == ["notify-team", "quarantine-actor"]
    assert second.triage
    assert second.triage["steps"] == []
    (exhibit,) = store.incidents.evidence(high)
    assert [r["id"] for r in exhibit.body["records"]] == ["r2"]
    assert canary not in str(exhibit.body).lower()
    with get_client(sync_client=True) as client:
        assert {a.key for a in client.read_artifacts()} >= {f"incident-{high}", f"incident-{low}"}


def test_one_incident_that_fails_in_triage_holds_up_no_other_and_ends_with_a_person(store: Store) -> None:
    QuarantineActor().save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]
    good = opened(store, finding("r2", kind="anomaly", severity=Severity.LOW))
    bad = opened(store, finding("r1", actor="eve"))
    with get_client(sync_client=True) as client:
        client.delete_block_document(client.read_block_document_by_name("firebreak", "quarantine-actor").id)
    for _ in range(TRIES + 1):
        triage()
    assert store.incidents.get(good).state is State.TRIAGED
    assert store.incidents.get(bad).state is State.NEEDS_PERSON
    QuarantineActor().save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]
    triage(again=bad)
    assert store.incidents.get(bad).state is State.TRIAGED


def test_a_cause_that_is_found_while_triage_is_at_work_is_what_is_planned_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    about: dict[str, Any] = {"kind": "drift", "severity": Severity.MEDIUM, "token_id": None, "origin": None}
    about |= {"actor_type": ActorType.DATASET, "actor": "support-tickets"}
    incident_id = opened(store, finding("w1", **about).model_copy(update={"cause": "unclear"}))

    def meanwhile(store: Store, incident: Incident) -> dict[str, Any]:
        store.report(Batch(findings=[finding("w2", **about).model_copy(update={"cause": "data"})]), "scan-drift")
        return {"lines": [], "records": []}

    monkeypatch.setattr("firebreak.flows.triage.context_of", meanwhile)
    assert triage() == "1 triaged, 0 left to others or to the next run"
    concluded = store.incidents.get(incident_id).triage or {}
    assert (concluded["cause"], concluded["playbook"], concluded["round"]) == ("data", "tell-the-owner", 0)


def test_an_automatic_plan_is_carried_out_verified_and_released(store: Store) -> None:
    incident_id = opened(store, finding("r1"))
    triage()
    assert respond(incident_id) == f"incident {incident_id}: contained"
    assert [row.state for row in store.ledger.rows(incident_id)] == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]
    assert respond(incident_id) == f"incident {incident_id}: contained"
    assert [row.attempts for row in store.ledger.rows(incident_id)] == [1, 0]
    release(incident_id, "false-positive", "ada", "it was a quotation")
    assert store.incidents.get(incident_id).state is State.FALSE_POSITIVE
    assert store.holds.all() == []
    assert "already" in release(incident_id, "false-positive", "ada", "again")
    undone = [(row.action, row.state) for row in store.ledger.rows(incident_id)]
    assert undone == [
        ("notify-team", Outcome.SUCCEEDED),
        ("quarantine-actor", Outcome.UNDONE),
        ("quarantine-actor", Outcome.SUCCEEDED),
    ]


def test_what_is_not_corroborated_is_told_at_once_and_held_only_by_a_person(store: Store) -> None:
    incident_id = opened(store, finding("r1", votes=("patterns",)))
    triage()
    planned = (store.incidents.get(incident_id).triage or {})["steps"]
    assert [(s["action"], s["approval"]) for s in planned] == [("notify-team", "auto"), ("quarantine-actor", "one")]
    assert store.holds.all() == []
    report = store.report(Batch(findings=[finding("r2", votes=("score",))]), "scan-logs")
    assert [hold.target for hold in report.contained] == ["mallory"]
    step = QuarantineActor().plan(store, store.incidents.get(incident_id), {})
    assert isinstance(step, Step)
    assert step.approval == "auto"


def test_a_release_before_anybody_decided_plans_no_quarantine(store: Store) -> None:
    incident_id = opened(store, finding("r1", votes=("patterns",)))
    release(incident_id, "false-positive", "ada", "a quotation")
    assert store.ledger.rows(incident_id) == []
    assert store.incidents.get(incident_id).state is State.FALSE_POSITIVE


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"actor_type": ActorType.WORKFLOW, "actor": "answer-tickets"}, "no user or token is to blame"),
        ({"trusted": False}, "the line could have been forged"),
        ({"origin": Origin.DOCUMENT}, "nothing says that the words are the user's own"),
    ],
)
def test_a_step_left_out_says_why_on_the_timeline_and_the_page(store: Store, about: dict[str, Any], why: str) -> None:
    incident_id = opened(store, finding("r1", kind="unauthorised-use", **about))
    triage()
    (entry,) = [e for e in store.incidents.timeline(incident_id) if e.entry == "step-left-out"]
    assert entry.detail["action"] == "quarantine-actor"
    assert why in entry.detail["why"]
    assert "step-left-out quarantine-actor" in page(store, incident_id).replace("\\", "")


def test_a_quarantine_no_plan_took_over_is_released_too(store: Store) -> None:
    incident_id = opened(store, finding("r1"))
    release(incident_id, "resolved", "ada", "known")
    assert store.holds.all() == []
    assert store.incidents.get(incident_id).state is State.RESOLVED


def test_a_release_that_can_not_be_verified_closes_nothing(store: Store) -> None:
    incident_id = opened(store, finding("r1"))
    triage()
    respond(incident_id)
    with get_client(sync_client=True) as client:
        client.delete_block_document(client.read_block_document_by_name("firebreak", "quarantine-actor").id)
    with pytest.raises((ReleaseFailed, ValueError)):
        release(incident_id, "resolved", "ada", "x")
    assert store.incidents.get(incident_id).state is State.CONTAINED
    assert len(store.holds.all()) == 1


def test_a_plan_changed_behind_triage_is_not_carried_out(store: Store) -> None:
    incident_id = opened(store, finding("r1"))
    triage()
    changed = dict(store.incidents.get(incident_id).triage or {})
    changed["steps"] = [{**changed["steps"][1], "target": "ada"}]
    store.incidents.set(incident_id, triage=changed)
    with pytest.raises(Exception, match="isn't the one triage made"):
        respond(incident_id)
    assert store.standing("answer-tickets", "ada", None) == []


def test_text_from_records_stays_text_on_the_incidents_page(store: Store) -> None:
    hostile = finding("r1", actor=HOSTILE, origin=Origin.DOCUMENT).model_copy(
        update={"title": HOSTILE, "evidence": (Evidence(field="prompt", excerpt=HOSTILE),)}
    )
    incident_id = opened(store, hostile)
    store.incidents.note(incident_id, "release-requested", HOSTILE, action=HOSTILE)
    triage()
    shown = page(store, incident_id)
    outside = shown.split("````text")[0] + shown.split("````")[-1]
    assert "<script" not in outside
    assert "![" not in outside
    assert "\u202e" not in shown
    assert "{{" not in outside.replace("\\{", "")
