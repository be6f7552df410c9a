"""Whose turn it is to be asked about. Nobody answers two hundred forms: a few at a time, gravest first.

A run can ask about one incident only, as it suspends for it; so an incident that needs a person gets a run of its own.
"""

from prefect.client.orchestration import get_client

from firebreak.blocks.store import Incident, State, Store
from firebreak.detectors.findings import Severity
from firebreak.flows.runs import Runs

ASKED_AT_ONCE = 5  # incidents that people are asked about at a time; a critical one is asked about at once
TO_ASK = "to ask"
TURN = "waits_its_turn"  # in the incident's triage: what may run by itself has run, a person comes next


def due(store: Store) -> list[Incident]:
    """Triaged incidents with a plan that somebody can go on with now, gravest first."""
    planned = [one for one in store.incidents.in_states(State.TRIAGED) if (one.triage or {}).get("steps")]
    waits = [one for one in planned if (one.triage or {}).get(TURN) and one.severity is not Severity.CRITICAL]
    full = bool(waits) and len(_asked(store)) >= ASKED_AT_ONCE
    return [one for one in planned if not (full and one in waits)]


def has_room(store: Store, incident: Incident) -> bool:
    """Whether a person may be asked about this one now."""
    return incident.severity is Severity.CRITICAL or len(_asked(store) - {incident.id}) < ASKED_AT_ONCE


def _asked(store: Store) -> set[int]:
    """Incidents that a person is asked about, or will be as soon as their run has started."""
    responding = store.incidents.in_states(State.AWAITING_APPROVAL, State.RESPONDING)
    return {one.id for one in responding if one.state is State.AWAITING_APPROVAL or one.respond_run_id}


def will_ask(store: Store, incident: Incident) -> bool:
    """Whether the run that has the incident may go on to ask about it, within half a minute; it has the lease."""
    return has_room(store, incident) and store.health.wake(f"reconcile/respond/{incident.id}")


def hand_over(store: Store, incident: Incident) -> str:
    """Give the incident a run of its own that asks, or let it wait its turn; which, in words.

    The caller has its lease. Until the run starts, `reconcile` is kept from starting another.
    """
    if not has_room(store, incident):
        store.incidents.note(incident.id, "waits-its-turn", "respond", why=f"{ASKED_AT_ONCE} others are asked about")
        waits = {**(incident.triage or {}), TURN: True}
        store.incidents.move(incident.id, State.TRIAGED, "respond", triage=waits)
        return f"incident {incident.id} waits its turn to be asked about"
    store.health.wake(f"reconcile/respond/{incident.id}")
    with get_client(sync_client=True) as client:
        run = Runs(client).start("respond", {"incident_id": incident.id})
    store.incidents.set(incident.id, respond_run_id=run)
    return f"incident {incident.id}: run {run} asks about it"
