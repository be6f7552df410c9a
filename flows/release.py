"""release: undo an incident's actions, all or some, in reverse, verified and in the ledger; first only shown.

Also the way to say 'false positive'.
"""

from collections.abc import Sequence
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
from firebreak.flows.ending import stands_no_more
from firebreak.flows.executor import Result, carry_out, execute
from firebreak.flows.incident_page import publish
from firebreak.flows.labelling import learn
from firebreak.flows.release_plan import check_names, parts, show, undoing, untold
from firebreak.flows.shared import load_action, load_block, open_store, run_id

Verdict = Literal["resolved", "false-positive", "stays-open"]
WAIT_SECONDS = 60  # for a responder that is at work on the incident
RELEASED = "released-in-part"


class ReleaseFailed(Exception):
    """An undo could not be verified: the incident stays contained, and the ledger says which step."""


@task(task_run_name="plan release of incident {incident.id}", cache_policy=NO_CACHE)
def plan_release(
    store: Store, incident: Incident, lease: Lease, verdict: State | None, chosen: Sequence[str]
) -> list[Step]:
    """What is undone, last first. What stays for good is said on the timeline."""
    _adopt(store, incident, lease)
    planned = parts(store, incident, verdict, chosen)
    for part in planned:
        if part.entry:
            told = {"action": part.step.action, "target": part.step.target}
            store.incidents.note(incident.id, part.entry, "release", **told)
    return undoing(planned)


def _adopt(store: Store, incident: Incident, lease: Lease) -> None:
    """Bring a quarantine that detectors wrote, and no plan took over yet, into the ledger, so that it is undone too."""
    if step := untold(store, incident):
        if any(row.state is Outcome.UNDONE and row.step == step for row in store.ledger.rows(incident.id)):
            store.ledger.replan(incident.id, [step])  # held again since it was undone
        (row,) = store.ledger.enter(incident.id, [step])
        # Whatever was decided about holding them: they are held, and it is this release that says what becomes of it.
        carry_out(store, incident, row, load_action, lease)


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
    verdict: Verdict,
    name: str = Field(pattern=r"^[\w .,'@+\-]{1,80}$", description="who releases; kept as typed"),
    reason: str = Field(max_length=500, description="why; kept in the timeline"),
    texts_are_attacks: bool = Field(
        default=False,
        description="with `resolved`: you have read the texts on the incident's page, and each is an attack to learn "
        "from. `false-positive` says of each that it is harmless",
    ),
    steps: tuple[str, ...] = Field(
        default=(),
        description="with `stays-open`: which steps are undone, by action or digest as the preview has them; none: all",
    ),
    preview: bool = Field(default=False, description="only show what would be done: artifact release-<incident>"),
) -> str:
    """Undo what Firebreak did about an incident and close it, or undo some of it (`stays-open`). Of a closed one only
    the verdict is corrected.

    Errors: ReleaseFailed (a step could not be verified; the incident stays open), UnknownIncident, ValueError.
    """
    if texts_are_attacks and verdict != "resolved":
        raise ValueError(
            "only `resolved` goes with texts_are_attacks: what stays open, or was harmless, teaches no attack"
        )
    if steps and verdict != "stays-open":
        raise ValueError(
            "some steps alone can only be undone with the verdict stays-open: a closed incident holds nothing"
        )
    store, wanted = open_store(), None if verdict == "stays-open" else State(verdict)
    if preview:
        return _preview(store, store.incidents.get(incident_id), wanted, steps)
    with store.lease(f"incident:{incident_id}", f"release/{run_id()}/{uuid4()}", WAIT_SECONDS) as lease:
        incident = store.incidents.get(incident_id)
        if lease is None:
            raise ReleaseFailed(f"incident {incident_id}: {store.holder(f'incident:{incident_id}')} is at work on it")
        asked = {"verdict": verdict, "reason": reason, "texts_are_attacks": texts_are_attacks}
        if incident.state is wanted:
            told = f"incident {incident_id} is {wanted} already"
        elif incident.closed and wanted is None:
            return f"incident {incident_id} is {incident.state}: nothing of it stands"
        elif incident.closed and wanted:
            told = _correct(store, incident, wanted, name, asked)
        else:
            check_names(store, incident, steps)  # before it is noted, as a release that died is started again
            asked |= {"steps": list(steps), "preview": False}
            store.incidents.note(incident.id, "release-requested", name, **asked)
            told = _release(store, incident, lease, wanted, name, steps)
        learns = wanted is State.FALSE_POSITIVE or texts_are_attacks
        return f"{told}; {teach(store, incident, wanted, name)}" if wanted and learns else told


def _preview(store: Store, incident: Incident, wanted: State | None, chosen: Sequence[str]) -> str:
    """Nothing is done, not even a wait for a responder: what it shows is how things are now."""
    if incident.closed:
        return (
            f"incident {incident.id} is {incident.state}: a release would undo nothing, and at most correct its verdict"
        )
    planned = parts(store, incident, wanted, chosen)
    for line in show(store, incident, planned):
        get_run_logger().info("%s", line)
    undone = sum(part.kept is None for part in planned)
    return (
        f"incident {incident.id}: {undone} step(s) would be undone, {len(planned) - undone} kept; see the artifact "
        f"release-{incident.id}, then run it with preview off"
    )


def _correct(store: Store, incident: Incident, verdict: State, name: str, asked: dict[str, Any]) -> str:
    """What was done stays as it is: an old promotion may have others on top, and a new finding opens a new incident."""
    store.incidents.note(incident.id, "correction-requested", name, **asked)
    store.incidents.correct(incident.id, verdict, name)
    publish(store, incident.id)
    return f"incident {incident.id}: was {incident.state}, is {verdict}; nothing was undone or held again"


def _release(
    store: Store, incident: Incident, lease: Lease, verdict: State | None, name: str, chosen: Sequence[str]
) -> str:
    if verdict:
        withdraw_requests(store, incident, name)
    steps = plan_release(store, incident, lease, verdict, chosen)
    for step in steps:
        get_run_logger().info("%s", step.title)
    try:
        undo(store, incident, store.ledger.enter(incident.id, steps), lease)
        if verdict:
            store.incidents.move(incident.id, verdict, name)
        else:
            store.incidents.note(incident.id, RELEASED, name, steps=[step.title for step in steps])
            stands_no_more(store, incident.id, name)
    finally:
        publish(store, incident.id)
    if verdict:
        send(Event.INCIDENT_RESOLVED, incident.id, verdict=verdict.value)
    return f"incident {incident.id}: {store.incidents.get(incident.id).state}, {len(steps)} step(s) undone and verified"
