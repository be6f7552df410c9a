"""release: undo an incident's actions, in reverse, verified and in the ledger; also the way to say 'false positive'."""

from typing import Any, Literal
from uuid import UUID, uuid4

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from pydantic import Field

from firebreak.blocks.events import Event, send
from firebreak.blocks.interaction_log import InteractionLog, LogError
from firebreak.blocks.store import Incident, Lease, State, Store, StoreError
from firebreak.blocks.store.approvals import UNIDENTIFIED, Decision
from firebreak.blocks.store.ledger import SETTLED, Outcome, Row, Step
from firebreak.flows.executor import Result, execute, undo_of
from firebreak.flows.incident_page import publish
from firebreak.flows.labelling import learn
from firebreak.flows.shared import load_action, load_block, open_store, run_id

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
        reversible = action.can_undo(row.step)
        if not reversible or (action.remedy and verdict is State.RESOLVED):
            entry = "remedy-stays" if reversible else "not-reversible"
            store.incidents.note(incident.id, entry, "release", action=row.action, target=row.target)
            continue
        steps.append(undo_of(row))
    return steps


def _adopt(store: Store, incident: Incident, lease: Lease) -> None:
    """Bring a quarantine that detectors wrote, and no plan took over yet, into the ledger, so that it is undone too."""
    action = load_action("quarantine-actor")
    step = action.plan(store, incident, {})
    if isinstance(step, Step) and step.approval == "auto":
        execute(store, incident, store.ledger.enter(incident.id, [step]), load_action, lease)


@task(task_run_name="undo", retries=2, retry_delay_seconds=3, cache_policy=NO_CACHE)
def undo(store: Store, incident: Incident, rows: list[Row], lease: Lease) -> Result:
    """Undo, each step verified; one that fails doesn't keep the others from being undone."""
    execute(store, incident, rows, load_action, lease, {row.action: "go-on" for row in rows})
    for row in (store.ledger.row(row.digest) for row in rows):
        if row.state not in SETTLED:
            raise ReleaseFailed(f"{row.title}: {row.state}: {row.error}")
    return Result()


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


@task(task_run_name="learn from incident {incident.id}", cache_policy=NO_CACHE)
def teach(store: Store, incident: Incident, verdict: State, name: str) -> str:
    """Label what the incident's page showed, as the verdict says. That it can't be done holds up no release."""
    try:
        learned = learn(store, load_block(InteractionLog), incident, verdict, name)
    except (LogError, StoreError, ValueError) as error:
        store.incidents.note(incident.id, "not-labelled", "release", why=f"{type(error).__name__}: {error}"[:500])
        return f"nothing learned: {error}"
    return f"{learned} new text(s) labelled as {'harmless' if verdict is State.FALSE_POSITIVE else 'attacks'}"


@flow(name="release")
def release(
    incident_id: int,
    verdict: Literal["resolved", "false-positive"],
    name: str = Field(pattern=r"^[\w .,'@+\-]{1,80}$", description="who releases; kept as typed"),
    reason: str = Field(max_length=500, description="why; kept in the timeline"),
    texts_are_attacks: bool = Field(
        default=False,
        description="with `resolved`: you have read the texts on the incident's page, and each is an attack to learn "
        "from. `false-positive` says of each that it is harmless",
    ),
) -> str:
    """Undo what Firebreak did about an incident and close it. Of a closed one only the verdict is corrected.

    Errors: ReleaseFailed (a step could not be verified; the incident stays open), UnknownIncident, ValueError.
    """
    if verdict == "false-positive" and texts_are_attacks:
        raise ValueError("a false positive's texts are harmless: leave texts_are_attacks out, or say resolved")
    store, wanted = open_store(), State(verdict)
    with store.lease(f"incident:{incident_id}", f"release/{run_id()}/{uuid4()}", WAIT_SECONDS) as lease:
        incident = store.incidents.get(incident_id)
        if lease is None:
            raise ReleaseFailed(f"incident {incident_id}: {store.holder(f'incident:{incident_id}')} is at work on it")
        asked = {"verdict": wanted, "reason": reason, "texts_are_attacks": texts_are_attacks}
        if incident.state is wanted:
            told = f"incident {incident_id} is {wanted} already"
        elif incident.closed:
            told = _correct(store, incident, wanted, name, asked)
        else:
            store.incidents.note(incident.id, "release-requested", name, **asked)
            told = _release(store, incident, lease, wanted, name)
        learns = wanted is State.FALSE_POSITIVE or texts_are_attacks
        return f"{told}; {teach(store, incident, wanted, name)}" if learns else told


def _correct(store: Store, incident: Incident, verdict: State, name: str, asked: dict[str, Any]) -> str:
    """What was done stays as it is: an old promotion may have others on top, and a new finding opens a new incident."""
    store.incidents.note(incident.id, "correction-requested", name, **asked)
    store.incidents.correct(incident.id, verdict, name)
    publish(store, incident.id)
    return f"incident {incident.id}: was {incident.state}, is {verdict}; nothing was undone or held again"


def _release(store: Store, incident: Incident, lease: Lease, verdict: State, name: str) -> str:
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
