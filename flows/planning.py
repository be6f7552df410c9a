"""A plan's rows, checked against what was planned, and the state an incident deserves once its plan has run."""

from collections.abc import Sequence
from typing import Any

from firebreak.blocks.store import Incident, PlanChanged, State, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.ledger import Outcome, Row, Step, plan_digest
from firebreak.flows.executor import Result, failed_before


def planned(incident: Incident) -> list[Step]:
    """The plan that triage made, or what a spent budget has made of it since."""
    return [Step(**step) for step in (incident.triage or {})["steps"]]


def rows_of(store: Store, incident: Incident, steps: Sequence[Step]) -> tuple[str, list[Row]]:
    """The plan's digest and ledger rows. Errors: PlanChanged when the rows aren't what triage planned."""
    rows = store.ledger.enter(incident.id, steps)
    triage = incident.triage or {}
    digest = plan_digest(incident.id, [row.step for row in rows], triage.get("round", 0))
    if digest != triage.get("plan_digest"):
        raise PlanChanged(f"incident {incident.id}: the ledger's plan {digest[:12]} isn't the one triage made")
    return digest, rows


def settle_incident(store: Store, incident_id: int, digest: str, result: Result) -> State:
    """Move the incident to where its plan has left it, and say why.

    Failed, refused with nothing left that contains it, or nobody decided in time: a person is needed.
    Otherwise it is contained.
    """
    asked = store.approvals.of_plan(incident_id, digest)
    if result.failed is not None:
        back = "; what was done before it was taken back" if failed_before(store, incident_id, digest) else ""
        why = f"{result.failed.title}: {result.failed.state}: {result.failed.error}"[:400] + back
        state = State.NEEDS_PERSON
    elif asked is not None and asked.decision in (Decision.EXPIRED, Decision.CANCELLED):
        state, why = State.NEEDS_PERSON, f"the request for approval ended as {asked.decision}"
    elif asked is not None and asked.decision is Decision.REFUSE and not store.holds.of_incident(incident_id):
        state, why = State.NEEDS_PERSON, "refused, and nothing stands against it: close it with the release form"
    elif unknown := [r for r in store.ledger.rows(incident_id) if r.state is Outcome.UNKNOWN]:
        state, why = State.CONTAINED, f"{len(unknown)} step(s) of unknown outcome: {unknown[0].title}"
    else:
        state, why = State.CONTAINED, "every step is settled"
    if store.incidents.get(incident_id).state is State.AWAITING_APPROVAL:  # the run that took the decision died then
        store.incidents.move(incident_id, State.RESPONDING, "respond")
    store.incidents.note(incident_id, "plan-ended", "respond", state=state, why=why[:500])
    columns: dict[str, Any] = {} if state is not State.CONTAINED else _contained_at(store, incident_id)
    store.incidents.move(incident_id, state, "respond", **columns)
    return state


def _contained_at(store: Store, incident_id: int) -> dict[str, Any]:
    """Containment dates from the detectors' own quarantine where there was one."""
    return {} if store.incidents.get(incident_id).contained_at else {"contained_at": store.now}
