"""How a retraining ends: its promotion becomes the incident's new plan, or a person is told why there is none.

Both write to the incident under its lease, and only while nothing else is at work on it.
"""

from collections.abc import Callable
from uuid import uuid4

from firebreak.blocks.events import Event, send
from firebreak.blocks.model_registry import Version
from firebreak.blocks.store import Incident, Lease, Retraining, RetrainingState, State, Store
from firebreak.blocks.store.ledger import Approval, Step, plan_digest
from firebreak.flows.executor import Loader
from firebreak.flows.retraining_errors import NotYet, RetrainingFailed

LEASE_WAIT = 20.0  # `respond` may be at its end just now; `reconcile` looks for a moment only
BY = "retrain"


def hand_over(
    store: Store,
    lease: Lease,
    retraining_id: int,
    version: Version,
    approval: Approval,
    load: Loader,
    show: Callable[[Store, int], None],
    signal: Callable[[Incident], None],
) -> str:
    """Make the promotion of ``version`` the incident's plan; `respond` carries it out, and asks where it must.

    ``lease`` is the retraining's own. Errors: NotYet (the incident is held or under way), LeaseLost, RetrainingFailed.
    """
    retraining = store.retrainings.get(retraining_id)
    name = f"incident:{retraining.incident_id}"
    with store.lease(name, f"retrain/{uuid4()}", LEASE_WAIT) as held:
        retraining, incident = store.retrainings.get(retraining_id), store.incidents.get(retraining.incident_id)
        if done := _over(store, retraining, incident):
            return done
        if held is None or incident.state is not State.CONTAINED:
            raise NotYet(f"incident {incident.id} is {incident.state}, held by {store.holder(name)}")
        steps = _steps(store, incident, retraining, version, approval, load)
        round = sum(entry.entry == State.TRIAGED for entry in store.incidents.timeline(incident.id))
        context = (incident.triage or {}).get("context", {})
        told = f"retraining {retraining.id} made version {version.number}: " + "; ".join(_reasons(retraining))
        conclusion = {
            **(incident.triage or {}),
            "steps": [step.model_dump(mode="json") for step in steps],
            "goes_on": [],
            "round": round,
            "plan_digest": plan_digest(incident.id, steps, round),
            "context": {**context, "lines": [*context.get("lines", []), told]},
            "retraining": retraining.id,
        }
        lease.check()
        held.check()
        store.ledger.replan(incident.id, steps)
        store.incidents.move(incident.id, State.TRIAGED, BY, triage=conclusion)
        store.retrainings.set(retraining.id, state=RetrainingState.HANDED_OVER, detail={"version": version.number})
    show(store, incident.id)
    signal(incident)
    return f"retraining {retraining.id}: version {version.number} is put forward for promotion"


def give_up(
    store: Store,
    retraining_id: int,
    ending: RetrainingState,
    reasons: list[str],
    show: Callable[[Store, int], None],
) -> str:
    """End as refused or failed: reasons and numbers on the timeline, the incident to a person, the champion as it is.

    Errors: NotYet (the incident is held or under way).
    """
    retraining = store.retrainings.get(retraining_id)
    name = f"incident:{retraining.incident_id}"
    with store.lease(name, f"retrain/{uuid4()}", LEASE_WAIT) as held:
        retraining, incident = store.retrainings.get(retraining_id), store.incidents.get(retraining.incident_id)
        if done := _over(store, retraining, incident):
            return done
        store.retrainings.set(retraining.id, detail={"ending": ending, "reasons": reasons})
        if held is None or incident.state not in (State.CONTAINED, State.NEEDS_PERSON):
            raise NotYet(f"incident {incident.id} is {incident.state}, held by {store.holder(name)}")
        if incident.state is State.CONTAINED:
            numbers = (retraining.detail.get("verdict") or {}).get("numbers", {})
            told = {"retraining": retraining.id, "reasons": reasons, "numbers": numbers}
            store.incidents.note(incident.id, f"no-new-model-{ending}", BY, **told)
            store.incidents.move(incident.id, State.NEEDS_PERSON, BY)
        store.retrainings.set(retraining.id, state=ending)
    show(store, incident.id)
    return f"retraining {retraining.id}: {ending}: {'; '.join(reasons)}"


def signal_triaged(incident: Incident) -> None:
    """Wake `respond`; `reconcile` does so when this is lost."""
    send(Event.INCIDENT_TRIAGED, incident.id, severity=incident.severity.value)


def _over(store: Store, retraining: Retraining, incident: Incident) -> str | None:
    """What is left to say where there is nothing left to do: ended already, or by a run that died before saying so."""
    if retraining.open and incident.closed:
        retraining = store.retrainings.set(retraining.id, state=RetrainingState.WITHDRAWN)
    if retraining.open and (incident.triage or {}).get("retraining") == retraining.id:
        retraining = store.retrainings.set(retraining.id, state=RetrainingState.HANDED_OVER)
    return None if retraining.open else f"retraining {retraining.id} is {retraining.state}"


def _steps(
    store: Store, incident: Incident, retraining: Retraining, version: Version, approval: Approval, load: Loader
) -> list[Step]:
    verdict = retraining.detail["verdict"]
    wanted = {
        "promote-model": {"version": version.number, "expected": verdict["champion"], "approval": approval},
        "renew-reference": {
            "dataset": retraining.dataset,
            "version": version.number,
            "reason": f"version {version.number} of retraining {retraining.id} was promoted",
        },
    }
    steps: list[Step] = []
    for action, parameters in wanted.items():
        step = load(action).plan(store, incident, parameters)
        if step is None and action == "promote-model":
            raise RetrainingFailed(f"promote-model plans nothing for version {version.number}; look at its block")
        if step is not None:
            # One decision for both: a refused promotion must not renew the reference.
            stricter: Approval = "one" if "one" in (approval, *(s.approval for s in steps), step.approval) else "auto"
            steps.append(step.model_copy(update={"action": action, "approval": stricter}))
    return steps


def _reasons(retraining: Retraining) -> list[str]:
    reasons: list[str] = retraining.detail["verdict"]["reasons"]
    return reasons
