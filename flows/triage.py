"""triage: take open incidents by gravity, enrich, choose the playbook, plan, and hand over to `respond`."""

from typing import Any
from uuid import uuid4

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from firebreak.blocks.action import LeftOut
from firebreak.blocks.events import Event, signal_triaged
from firebreak.blocks.store import Incident, State, Store
from firebreak.blocks.store.ledger import Step, plan_digest, strictest
from firebreak.flows.draining import MANY, drain
from firebreak.flows.ending import with_end
from firebreak.flows.enrichment import context_of
from firebreak.flows.incident_page import publish
from firebreak.flows.policy import Playbook, Policy, load_policy
from firebreak.flows.promotion import told, unfinished_promotion
from firebreak.flows.shared import load_action, open_store
from firebreak.flows.summary import summarise

TRIES = 3  # runs that may fail on one incident before a person is asked


@task(task_run_name="enrich incident {incident.id}", retries=1, cache_policy=NO_CACHE)
def enrich(store: Store, incident: Incident) -> dict[str, Any]:
    """Records before and after, the user's recent activity, the flow run, recent deployments; frozen as evidence."""
    context = context_of(store, incident)
    store.incidents.freeze(incident.id, "context", context)
    return context


@task(task_run_name="plan for incident {incident.id}", cache_policy=NO_CACHE)
def plan(store: Store, incident: Incident, playbook: Playbook) -> list[Step]:
    """The playbook's steps for this incident, as data; a step left out is noted with its reason."""
    steps = []
    for wanted in playbook.steps:
        step = load_action(wanted.action).plan(store, incident, wanted.parameters)
        if isinstance(step, LeftOut):
            store.incidents.note(incident.id, "step-left-out", "triage", action=wanted.action, why=step.why)
        else:
            approval = strictest(step.approval, wanted.approval)
            step = step.model_copy(update={"action": wanted.action, "approval": approval})
            steps.append(with_end(store, incident, step, wanted.expires_after))
    return steps


@task(task_run_name="triage incident {incident.id}", cache_policy=NO_CACHE)
def triage_one(store: Store, incident: Incident, policy: Policy, in_a_storm: bool = False) -> bool:
    """One incident from open to triaged; False when a finding has made it another trouble meanwhile.

    The lease is the caller's. In a storm without task runs and model: a thousand of these would keep the server from
    hearing of the critical incident.
    """
    context = (enrich.fn if in_a_storm else enrich)(store, incident)
    playbook = policy.playbook_for(incident)
    planning = plan.fn if in_a_storm else plan
    unfinished = unfinished_promotion(store, incident, load_action)
    retraining, steps = unfinished or (None, planning(store, incident, playbook))
    if retraining:
        context["lines"].append(told(retraining, retraining.detail["version"]))
    round = sum(entry.entry == State.TRIAGED for entry in store.incidents.timeline(incident.id))
    store.ledger.replan(incident.id, steps)
    conclusion = {
        "playbook": playbook.name,
        "cause": incident.cause,
        "steps": [step.model_dump(mode="json") for step in steps],
        "on_failure": {s.action: s.on_failure for s in playbook.steps},
        "round": round,
        "plan_digest": plan_digest(incident.id, steps, round),
        "context": context,
        **({"retraining": retraining.id} if retraining else {}),
    }
    if not store.incidents.conclude(incident, conclusion):
        return False
    if steps:
        signal_triaged(store, incident)
    publish(store, incident.id)
    if not in_a_storm and (summary := summarise(store, incident)):  # last, so that a slow model delays nothing
        store.incidents.set(incident.id, triage={**conclusion, "model_summary": summary})
        publish(store, incident.id)
    return True


@flow(name="triage")
def triage(again: int | None = None) -> str:
    """Drain the store's open incidents, gravest first. One failing or slow incident never holds up the others.

    ``again``: the number of an incident that needs a person, to be triaged once more (its cause being mended).
    """
    logger, store = get_run_logger(), open_store()
    if again is not None:
        store.incidents.move(again, State.OPEN, "a person")
    policy, owner, done = load_policy(store), f"triage/{uuid4()}", set[int]()

    def take(found: Incident) -> bool:
        with store.lease(f"incident:{found.id}", owner) as lease:
            incident = store.incidents.get(found.id)
            if lease is None or incident.state is not State.OPEN:
                return incident.state is not State.OPEN
            if store.incidents.attempt(incident.id, None) > TRIES:
                store.incidents.move(incident.id, State.NEEDS_PERSON, "triage")
                logger.error("incident %s failed in triage %s times: it needs a person", incident.id, TRIES)
                return True
            try:
                in_a_storm = len(store.incidents.in_states(State.OPEN)) > MANY
                if (triage_one.fn if in_a_storm else triage_one)(store, incident, policy, in_a_storm):
                    done.add(incident.id)
            except Exception:
                logger.exception("incident %s: triage failed, others go on; `reconcile` tries again", incident.id)
                return False
        return True

    drain(store, Event.INCIDENT_OPENED, lambda: store.incidents.in_states(State.OPEN), take)
    left = len(store.incidents.in_states(State.OPEN))
    return f"{len(done)} triaged, {left} left to others or to the next run"
