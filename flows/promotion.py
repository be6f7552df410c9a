"""How a retraining ends: its promotion becomes the incident's new plan, or a person is told why there is none.

Both write to the incident under its lease, and only while nothing else is at work on it.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from firebreak.blocks.action import ActionError, LeftOut
from firebreak.blocks.events import Event, send
from firebreak.blocks.model_registry import Version
from firebreak.blocks.store import Incident, IncidentMoved, Lease, Retraining, RetrainingState, State, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.ledger import Approval, Outcome, Step, plan_digest, strictest
from firebreak.flows.executor import Loader
from firebreak.flows.retraining_errors import NotYet, RetrainingFailed

LEASE_WAIT = 20.0  # `respond` may be at its end just now; `reconcile` looks for a moment only
BY = "retrain"
OTHER_PLAN = "the incident's plan is another one now"


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
        if held and (done := _over(store, retraining, incident)):
            return done
        if held is None or incident.state is not State.CONTAINED:
            raise NotYet(f"incident {incident.id} is {incident.state}, held by {store.holder(name)}")
        steps = _steps(store, incident, retraining, version, approval, load)
        round = sum(entry.entry == State.TRIAGED for entry in store.incidents.timeline(incident.id))
        context = (incident.triage or {}).get("context", {})
        lines = [*context.get("lines", []), told(retraining, version.number)]
        conclusion = {
            **(incident.triage or {}),
            "steps": [step.model_dump(mode="json") for step in steps],
            "on_failure": {},
            "round": round,
            "plan_digest": plan_digest(incident.id, steps, round),
            "context": {**context, "lines": lines},
            "retraining": retraining.id,
        }
        lease.check()
        held.check()
        store.ledger.replan(incident.id, steps)
        _move(store, incident, State.TRIAGED, triage=conclusion)
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
        if held and (done := _over(store, retraining, incident)):
            return done
        store.retrainings.set(retraining.id, detail={"ending": ending, "reasons": reasons})
        if held is None or incident.state not in (State.CONTAINED, State.NEEDS_PERSON):
            raise NotYet(f"incident {incident.id} is {incident.state}, held by {store.holder(name)}")
        if incident.state is State.CONTAINED:
            numbers = (retraining.detail.get("verdict") or {}).get("numbers", {})
            detail = {"retraining": retraining.id, "reasons": reasons, "numbers": numbers}
            store.incidents.note(incident.id, f"no-new-model-{ending}", BY, **detail)
            _move(store, incident, State.NEEDS_PERSON)
        store.retrainings.set(retraining.id, state=ending)
    show(store, incident.id)
    return f"retraining {retraining.id}: {ending}: {'; '.join(reasons)}"


def signal_triaged(incident: Incident) -> None:
    """Wake `respond`; `reconcile` does so when this is lost."""
    send(Event.INCIDENT_TRIAGED, incident.id, severity=incident.severity.value)


def end_due(store: Store, retraining: Retraining, incident: Incident) -> Retraining:
    """Write down the end that is due whatever its run does: handed over already, its incident closed, or no part of
    the incident's plan any more. Returns what stands; the incident's lease is the caller's."""
    if not retraining.open:
        return retraining
    triage = incident.triage or {}
    if not incident.closed and triage.get("retraining") == retraining.id:
        return store.retrainings.set(retraining.id, state=RetrainingState.HANDED_OVER)
    planned = {Step(**step).digest(incident.id) for step in triage.get("steps", [])}
    if not incident.closed and retraining.key in planned:
        return retraining
    why = f"the incident is {incident.state}" if incident.closed else OTHER_PLAN
    store.incidents.note(incident.id, "retraining-given-up", BY, retraining=retraining.id, why=why)
    return store.retrainings.set(retraining.id, state=RetrainingState.WITHDRAWN, detail={"reasons": [why]})


def unfinished_promotion(store: Store, incident: Incident, load: Loader) -> tuple[Retraining, list[Step]] | None:
    """The promotion that was handed over and isn't through, for an incident that is triaged again.

    None where a person refused it, or where it is overtaken: another cause, another champion, another model's block.
    """
    triage = incident.triage or {}
    if "retraining" not in triage:
        return None
    retraining = store.retrainings.get(triage["retraining"])
    if retraining.state is not RetrainingState.HANDED_OVER or triage.get("cause") != incident.cause:
        return None
    asked = store.approvals.of_plan(incident.id, triage["plan_digest"])
    if asked and asked.decision is Decision.REFUSE:
        return None
    steps = [Step(**step) for step in triage["steps"]]
    through = {r.digest for r in store.ledger.rows(incident.id) if r.state in (Outcome.SUCCEEDED, Outcome.UNDONE)}
    if through >= {step.digest(incident.id) for step in steps}:
        return None
    promotion, versions = steps[0], steps[0].parameters
    expected = [versions["to"]] if promotion.digest(incident.id) in through else [versions["from"], versions["to"]]
    try:
        champion = load(promotion.action).verify(store, incident, promotion).seen["champion"]
    except ActionError:
        return None
    return (retraining, steps) if champion in expected else None


def told(retraining: Retraining, version: str) -> str:
    """What it came to, in one line of the incident's context."""
    return f"retraining {retraining.id} made version {version}: {'; '.join(retraining.detail['verdict']['reasons'])}"


def _move(store: Store, incident: Incident, to: State, **columns: Any) -> None:
    """From contained. Errors: NotYet (a finding has sent it back to triage just now)."""
    try:
        store.incidents.move(incident.id, to, BY, expected=State.CONTAINED, **columns)
    except IncidentMoved as error:
        raise NotYet(str(error)) from error


def _over(store: Store, retraining: Retraining, incident: Incident) -> str | None:
    """What is left to say where there is nothing left to do: ended already, or by a run that died before saying so."""
    retraining = end_due(store, retraining, incident)
    if retraining.open:
        return None
    withdrawn = retraining.state is RetrainingState.WITHDRAWN
    why = "; ".join(retraining.detail.get("reasons", [])) if withdrawn else ""
    return f"retraining {retraining.id} is {retraining.state}" + (f": {why}" if why else "")


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
        if isinstance(step, LeftOut) and action == "promote-model":
            raise RetrainingFailed(f"promote-model left out version {version.number}: {step.why}; look at its block")
        if isinstance(step, Step):
            # One decision for both: a refused promotion must not renew the reference.
            asked = strictest(approval, *(s.approval for s in steps), step.approval)
            steps.append(step.model_copy(update={"action": action, "approval": asked}))
    return steps
