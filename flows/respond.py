"""respond: freeze the evidence, contain, ask a person where the plan says so, act, verify, and say what is known."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import uuid4

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from firebreak.blocks.events import Event, send
from firebreak.blocks.store import Incident, Lease, PlanChanged, State, Store
from firebreak.blocks.store.approvals import Asked, Decision, Identity
from firebreak.blocks.store.approvers import Verdict
from firebreak.blocks.store.ledger import Outcome, Row, strictest
from firebreak.flows import approval
from firebreak.flows.approval_standing import approver_key, standing
from firebreak.flows.asking import TO_ASK, due, hand_over, will_ask
from firebreak.flows.draining import drain
from firebreak.flows.executor import Result, execute, failed_before, take_back
from firebreak.flows.incident_page import publish
from firebreak.flows.planning import planned, rows_of, settle_incident
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
    on_failure, limits = (incident.triage or {}).get("on_failure", {}), load_policy(store).limits
    result = execute(store, incident, rows, load_action, lease, on_failure, limits)
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
    """Get a decision into the ledger: one already there, one a dead run received, or people's through the form.

    Each answer is judged once, by where it came from; one that doesn't count is said, and the form comes again.
    """
    run, rules = run_id(), load_policy(store).approval
    if run is None:
        raise RuntimeError("approval needs a flow run: start `respond` from its deployment")
    waiting = [row.digest for row in rows if row.approval != "auto"]
    needed = 2 if strictest(*(row.approval for row in rows)) == "two" else 1
    expires = store.now + timedelta(minutes=rules.expires_minutes)
    asked = store.approvals.ask(incident.id, plan_digest, run, expires, needed)
    while asked.decision is None:
        taken = {judged.source for judged in store.approvals.answers(asked.id)}
        answer = approval.find_answer(asked.runs, plan_digest, taken)
        if answer is None:
            publish(store, incident.id)
            send(Event.APPROVAL_REQUESTED, incident.id, plan_digest=plan_digest, flow_run_id=run)
            left = (asked.expires_at - store.now).total_seconds()
            shown = rows, plan_digest, standing(store, asked)
            description = approval.describe(incident, store.incidents.sightings(incident.id), *shown)
            answer = approval.ask(run, plan_digest, taken, rules.identity, left, description)
        asked = store.approvals.answer(incident.id, plan_digest, answer, waiting, rules.identity, approver_key())
        approval.forget(answer, plan_digest)
        _say(store, asked, answer.source)
    _say_end(asked)  # killed after it, before the move, the next run says it again
    store.incidents.move(incident.id, State.RESPONDING, "respond")
    hear_late(store, asked, waiting, rules.identity)


def _say_end(asked: Asked) -> None:
    ended = Event.APPROVAL_EXPIRED if asked.decision is Decision.EXPIRED else Event.APPROVAL_DECIDED
    send(ended, asked.incident_id, plan_digest=asked.plan_digest, decision=str(asked.decision))


def hear_late(store: Store, asked: Asked, steps: Sequence[str], identity: Identity) -> None:
    """Answers to the forms of other runs, given while one decided: each is kept as late, and so said."""
    taken = {judged.source for judged in store.approvals.answers(asked.id)}
    while answer := approval.find_answer(asked.runs, asked.plan_digest, taken):
        taken.add(answer.source)
        if answer.name != approval.NOBODY:
            store.approvals.answer(asked.incident_id, asked.plan_digest, answer, steps, identity, approver_key())
            _say(store, asked, answer.source)
        approval.forget(answer, asked.plan_digest)


def _say(store: Store, asked: Asked, source: str) -> None:
    """What became of this answer."""
    judged = next(each for each in store.approvals.answers(asked.id) if each.source == source)
    if judged.verdict is not Verdict.COUNTED:
        get_run_logger().warning("an answer by %s did not count: %s", judged.by, judged.why)
    elif asked.decision is None:
        send(Event.APPROVAL_GIVEN, asked.incident_id, plan_digest=asked.plan_digest, needed=asked.needed)


def respond_to(
    store: Store, incident_id: int, run: str | None, asks_later: Callable[[int], bool] = lambda _: False
) -> str:
    """Carry out one incident's plan; how it stands then, in words. ``run``: this run, where it may ask a person.

    Without it another run will ask, or this one later (TO_ASK), with all done that may be done before.
    Errors: PlanChanged.
    """
    logger = get_run_logger()
    with store.lease(f"incident:{incident_id}", f"respond/{run_id()}/{uuid4()}", LEASE_WAIT if run else 0) as lease:
        incident = store.incidents.get(incident_id)
        if lease is None:
            return f"incident {incident_id}: {store.holder(f'incident:{incident_id}')} has it"
        if incident.closed or incident.triage is None or incident.state in (State.OPEN, State.NEEDS_PERSON):
            return f"incident {incident_id} is {incident.state}: nothing to do"
        if run is None and incident.state is not State.TRIAGED:
            return f"incident {incident_id} is {incident.state}: another run has taken it"
        if (tries := store.incidents.attempt(incident_id, run)) > RUNS:
            store.incidents.move(incident_id, State.NEEDS_PERSON, "respond")
            return f"incident {incident_id}: {RUNS} runs did not finish it, it needs a person"
        if incident.state is not State.AWAITING_APPROVAL:
            store.incidents.move(incident_id, State.RESPONDING, "respond", attempts=tries)
        freeze_evidence(store, incident)
        on_failure = incident.triage.get("on_failure", {})
        try:
            digest, rows = rows_of(store, incident, planned(incident))
            asked = store.approvals.of_plan(incident_id, digest)
            if incident.state is State.AWAITING_APPROVAL and asked and asked.decision:
                _say_end(asked)  # it expired, was cancelled, or its run died before it said so
            if failed := failed_before(store, incident_id, digest):
                raise StepFailed(failed)  # a run died while it took this plan back
            result = carry_out(store, incident, rows, lease)
            while result.waiting:
                incident = store.incidents.get(incident_id)  # a budget that is spent has made its plan a stricter one
                digest, rows = rows_of(store, incident, planned(incident))
                logger.info("%s waits for approval; plan digest %s", result.waiting.title, digest)
                if run is None:
                    mine = asks_later(incident_id) and will_ask(store, incident, run_id())
                    return TO_ASK if mine else hand_over(store, incident)
                decide(store, incident, rows, digest)
                result = carry_out(store, incident, rows, lease)
        except PlanChanged as changed:
            store.incidents.note(incident_id, "plan-changed", "respond", why=str(changed)[:500])
            store.incidents.move(incident_id, State.NEEDS_PERSON, "respond")
            publish(store, incident_id)
            raise
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


@flow(name="respond", persist_result=True)
def respond(incident_id: int) -> str:
    """Carry out one incident's plan. May be started twice, killed and resumed anywhere: the ledger knows.

    Woken for one that was just triaged, it takes whatever else waits as well; where a person must decide about another
    one, that gets a run of its own. Errors: PlanChanged (what would run isn't what was planned; it needs a person).
    """
    store = open_store()
    if store.incidents.get(incident_id).state is not State.TRIAGED:
        return respond_to(store, incident_id, run_id())
    told, busy, failed = dict[int, str](), set[int](), dict[int, Exception]()

    def asks_itself(number: int) -> bool:
        return number == incident_id and busy == {number} and all(one.id == number for one in due(store))

    def take(found: Incident) -> bool:
        busy.add(found.id)
        try:
            told[found.id] = respond_to(store, found.id, None, asks_itself)
        except Exception as error:  # noqa: BLE001 - one that fails is said, and holds up no other
            get_run_logger().exception("incident %s: its plan came to no end, others go on", found.id)
            failed[found.id] = error
        busy.discard(found.id)
        return found.id not in failed and store.incidents.get(found.id).updated_at != found.updated_at

    def more_comes() -> bool:
        return told.get(incident_id) != TO_ASK and store.health.at_work(Event.INCIDENT_OPENED)

    drain(store, Event.INCIDENT_TRIAGED, lambda: due(store), take, more_comes)
    if incident_id in failed:
        raise failed[incident_id]
    if told.get(incident_id, TO_ASK) == TO_ASK:
        return respond_to(store, incident_id, run_id())
    return told[incident_id]
