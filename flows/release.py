"""release: undo an incident's actions, in reverse, verified and in the ledger; also the way to say 'false positive'."""

from typing import Literal
from uuid import UUID, uuid4

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from pydantic import Field

from firebreak.blocks.events import Event, send
from firebreak.blocks.store import Incident, Lease, State, Store
from firebreak.blocks.store.approvals import UNIDENTIFIED, Decision
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.flows.executor import Result, execute, undo_of
from firebreak.flows.incident_page import publish
from firebreak.flows.shared import load_action, open_store, run_id

WAIT_SECONDS = 60  # for a responder that is at work on the incident


class ReleaseFailed(Exception):
    """An undo could not be verified: the incident stays contained, and the ledger says which step."""


@task(task_run_name="plan release of incident {incident.id}", cache_policy=NO_CACHE)
def plan_release(store: Store, incident: Incident, lease: Lease, verdict: State) -> list[Step]:
    """What would be undone, last first. What can't be undone is left, and said on the timeline.

    A remedy (a promotion, a roll-back) is what resolved the incident: only a false alarm takes it back.
    """
    _adopt(store, incident, lease)
    steps = []
    for row in reversed(store.ledger.rows(incident.id)):
        tried = row.state in (Outcome.ATTEMPTED, Outcome.UNKNOWN, Outcome.FAILED) and row.attempts
        if row.undo_of or not (tried or row.state is Outcome.SUCCEEDED):
            continue
        action = load_action(row.action)
        if not action.reversible or (action.remedy and verdict is State.RESOLVED):
            entry = "remedy-stays" if action.reversible else "not-reversible"
            store.incidents.note(incident.id, entry, "release", action=row.action, target=row.target)
            continue
        steps.append(undo_of(row))
    return steps


def _adopt(store: Store, incident: Incident, lease: Lease) -> None:
    """Bring a quarantine that detectors wrote, and no plan took over yet, into the ledger, so that it is undone too."""
    action = load_action("quarantine-actor")
    step = action.plan(store, incident, {})
    if step is not None:
        execute(store, incident, store.ledger.enter(incident.id, [step]), load_action, lease)


@task(task_run_name="undo", retries=2, retry_delay_seconds=3, cache_policy=NO_CACHE)
def undo(store: Store, incident: Incident, rows: list[Row], lease: Lease) -> Result:
    """Undo, each step verified."""
    result = execute(store, incident, rows, load_action, lease)
    if row := result.failed or result.waiting:
        raise ReleaseFailed(f"{row.title}: {row.state}: {row.error}")
    return result


@task(task_run_name="withdraw requests of incident {incident.id}", cache_policy=NO_CACHE)
def withdraw_requests(store: Store, incident: Incident, by: str) -> None:
    """Nobody needs to decide any more: end what is still asked, and the runs that wait for it."""
    for asked in store.approvals.of_incident(incident.id):
        if asked.decision is None:
            waiting = [row.digest for row in store.ledger.rows(incident.id) if row.approval != "auto"]
            store.approvals.decide(
                incident.id, asked.plan_digest, Decision.CANCELLED, f"{by} {UNIDENTIFIED}", "released", waiting
            )
            send(Event.APPROVAL_DECIDED, incident.id, plan_digest=asked.plan_digest, decision=Decision.CANCELLED.value)
            with get_client(sync_client=True) as client:
                for run in asked.runs:
                    try:
                        client.set_flow_run_state(UUID(run), Cancelled(message="incident released"), force=False)
                    except ObjectNotFound:
                        continue


@flow(name="release")
def release(
    incident_id: int,
    verdict: Literal["resolved", "false-positive"],
    name: str = Field(pattern=r"^[\w .,'@+\-]{1,80}$", description="who releases; kept as typed"),
    reason: str = Field(max_length=500, description="why; kept in the timeline"),
) -> str:
    """Undo what Firebreak did about an incident and close it.

    Errors: ReleaseFailed (a step could not be verified; the incident stays open), UnknownIncident.
    """
    store = open_store()
    with store.lease(f"incident:{incident_id}", f"release/{run_id()}/{uuid4()}", WAIT_SECONDS) as lease:
        incident = store.incidents.get(incident_id)
        if incident.closed:
            return f"incident {incident_id} is {incident.state} already"
        if lease is None:
            raise ReleaseFailed(f"incident {incident_id}: {store.holder(f'incident:{incident_id}')} is at work on it")
        return _release(store, incident, lease, State(verdict), name, reason)


def _release(store: Store, incident: Incident, lease: Lease, verdict: State, name: str, reason: str) -> str:
    store.incidents.note(incident.id, "release-requested", name, verdict=verdict, reason=reason)
    withdraw_requests(store, incident, name)
    steps = plan_release(store, incident, lease, verdict)
    for step in steps:
        get_run_logger().info("%s", step.title)
    try:
        undo(store, incident, store.ledger.enter(incident.id, steps), lease)
        store.incidents.move(incident.id, verdict, name)
    finally:
        publish(store, incident.id)
    send(Event.INCIDENT_RESOLVED, incident.id, verdict=verdict.value)
    return f"incident {incident.id}: {verdict}, {len(steps)} step(s) undone and verified"
