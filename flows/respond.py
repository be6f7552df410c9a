"""respond: freeze the evidence, contain, ask a person where the plan says so, act, verify, and say what is known."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from firebreak.blocks.events import Event, send
from firebreak.blocks.store import Incident, Lease, State, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.flows import approval
from firebreak.flows.executor import Result, execute, failed_before, take_back
from firebreak.flows.incident_page import publish
from firebreak.flows.planning import rows_of, settle_incident
from firebreak.flows.policy import load_policy
from firebreak.flows.shared import load_action, open_store, run_id

RUNS = 6  # runs that may be spent on one state of one incident before a person is asked
LEASE_WAIT = 20.0  # `reconcile` looks at an incident for a moment; a dead holder's lease runs out sooner than this


class StepFailed(Exception):
    """A step's effect isn't there, or can't be told; the ledger row says which."""

    def __init__(self, row: Row) -> None:
        super().__init__(f"{row.title}: {row.state}: {row.error}")
        self.row = row


@task(task_run_name="freeze evidence of incident {incident.id}", cache_policy=NO_CACHE)
def freeze_evidence(store: Store, incident: Incident) -> str:
    """Keep the findings as they are now, hashed; triage froze the records."""
    sightings = store.incidents.sightings(incident.id)
    return store.incidents.freeze(incident.id, "findings", [s.model_dump(mode="json") for s in sightings])


@task(task_run_name="carry out", retries=2, retry_delay_seconds=3, cache_policy=NO_CACHE)
def carry_out(store: Store, incident: Incident, rows: Sequence[Row], lease: Lease) -> Result:
    """What may run now. A step that failed is tried again by the task's retries; an unknown one never."""
    result = execute(store, incident, rows, load_action, lease, (incident.triage or {}).get("on_failure", {}))
    if result.failed and result.failed.state is Outcome.FAILED:
        raise StepFailed(result.failed)
    return result


@task(task_run_name="undo what was done", cache_policy=NO_CACHE)
def undo(store: Store, incident: Incident, rows: Sequence[Row], lease: Lease, failed: Row, plan: str) -> Result:
    """Take the plan's steps back, in reverse, because one of them failed."""
    for row in take_back(store, incident, rows, load_action, lease, failed, plan):
        if row.state is not Outcome.SUCCEEDED:
            get_run_logger().error("%s: %s: %s", row.title, row.state, row.error)
    return Result(failed=store.ledger.row(failed.digest))


def decide(store: Store, incident: Incident, rows: Sequence[Row], plan_digest: str) -> None:
    """Get a decision into the ledger: one already there, one a dead run received, or a person's through the form."""
    run = run_id()
    if run is None:
        raise RuntimeError("approval needs a flow run: start `respond` from its deployment")
    expires = store.now + timedelta(minutes=load_policy(store).approval.expires_minutes)
    asked = store.approvals.ask(incident.id, plan_digest, run, expires)
    if asked.decision is None:
        form = approval.find_answer(asked.runs, plan_digest)
        if form is None:
            publish(store, incident.id)
            send(Event.APPROVAL_REQUESTED, incident.id, plan_digest=plan_digest, flow_run_id=run)
            left = (asked.expires_at - store.now).total_seconds()
            form = approval.ask(incident, store.incidents.sightings(incident.id), rows, plan_digest, left)
        waiting = [row.digest for row in rows if row.approval != "auto"]
        asked = store.approvals.decide(
            incident.id, plan_digest, Decision(form.decision), form.name, form.comment, waiting
        )
    store.incidents.move(incident.id, State.RESPONDING, "respond")
    send(Event.APPROVAL_DECIDED, incident.id, decision=str(asked.decision))


@flow(name="respond", persist_result=True)
def respond(incident_id: int) -> str:
    """Carry out one incident's plan. May be started twice, killed and resumed anywhere: the ledger knows."""
    logger, store = get_run_logger(), open_store()
    with store.lease(f"incident:{incident_id}", f"respond/{run_id()}/{uuid4()}", LEASE_WAIT) as lease:
        incident = store.incidents.get(incident_id)
        if lease is None:
            return f"incident {incident_id}: {store.holder(f'incident:{incident_id}')} has it"
        if incident.closed or incident.triage is None or incident.state in (State.OPEN, State.NEEDS_PERSON):
            return f"incident {incident_id} is {incident.state}: nothing to do"
        if store.incidents.attempt(incident_id, run_id()) > RUNS:
            store.incidents.move(incident_id, State.NEEDS_PERSON, "respond")
            return f"incident {incident_id}: {RUNS} runs did not finish it, it needs a person"
        if incident.state is not State.AWAITING_APPROVAL:
            store.incidents.move(incident_id, State.RESPONDING, "respond")
        freeze_evidence(store, incident)
        steps = [Step(**step) for step in incident.triage["steps"]]
        digest, rows = rows_of(store, incident, steps)
        on_failure = incident.triage.get("on_failure", {})
        try:
            if failed := failed_before(store, incident_id, digest):
                raise StepFailed(failed)  # a run died while it took this plan back
            result = carry_out(store, incident, rows, lease)
            while result.waiting:
                logger.info("%s waits for approval; plan digest %s", result.waiting.title, digest)
                decide(store, store.incidents.get(incident_id), store.ledger.enter(incident_id, steps), digest)
                result = carry_out(store, incident, rows, lease)
        except StepFailed as failure:
            logger.error("%s", failure)
            result = Result(failed=failure.row)
            if on_failure.get(failure.row.action) == "undo":
                result = undo(store, incident, rows, lease, failure.row, digest)
        state = settle_incident(store, incident_id, digest, result)
        publish(store, incident_id)
        if state is State.CONTAINED:
            send(Event.INCIDENT_CONTAINED, incident_id)
        return f"incident {incident_id}: {state}"
