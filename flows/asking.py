"""Whose turn it is to be asked about. Nobody answers two hundred forms: a few at a time, gravest first.

A run can ask about one incident only, as it suspends for it; so an incident that needs a person gets a run of its own.
"""

from uuid import uuid4

from prefect.client.orchestration import get_client

from firebreak.blocks.store import Incident, State, Store
from firebreak.detectors.findings import Severity
from firebreak.flows.runs import Runs

ASKED_AT_ONCE = 3  # incidents that people are asked about at a time
FOR_CRITICAL = 3  # further ones, for critical incidents alone
WAIT = 10.0  # for others who give turns, each within a second
TO_ASK = "to ask"
TURN = "waits_its_turn"  # in the incident's triage: what may run by itself has run, a person comes next
_TURNS = "turns to be asked about"  # a lease: who gives turns, one at a time


def due(store: Store) -> list[Incident]:
    """Triaged incidents with a plan that somebody can go on with now, gravest first."""
    planned = [one for one in store.incidents.in_states(State.TRIAGED) if (one.triage or {}).get("steps")]
    asked, found = _asked(store), list[Incident]()
    for one in planned:
        if not (one.triage or {}).get(TURN):
            found.append(one)
        elif _has_room(asked, one):
            found.append(one)
            asked.add(one.id)
    return found


def _has_room(asked: set[int], incident: Incident) -> bool:
    most = ASKED_AT_ONCE + FOR_CRITICAL * (incident.severity is Severity.CRITICAL)
    return len(asked - {incident.id}) < most


def _asked(store: Store) -> set[int]:
    """Incidents that a person is asked about, or will be as soon as their run has started."""
    responding = store.incidents.in_states(State.AWAITING_APPROVAL, State.RESPONDING)
    return {one.id for one in responding if one.state is State.AWAITING_APPROVAL or one.respond_run_id}


def will_ask(store: Store, incident: Incident, run: str | None) -> bool:
    """Whether this run, which has the incident, may go on to ask about it. The caller has its lease."""
    with store.lease(_TURNS, f"respond/{uuid4()}", WAIT) as turn:
        room = turn is not None and _has_room(_asked(store), incident)
        if room := room and store.health.wake(f"reconcile/respond/{incident.id}"):
            store.incidents.set(incident.id, respond_run_id=run)
    return room


def hand_over(store: Store, incident: Incident) -> str:
    """Give the incident a run of its own that asks, or let it wait its turn; which, in words.

    The caller has its lease. Until the run starts, `reconcile` is kept from starting another.
    """
    with store.lease(_TURNS, f"respond/{uuid4()}", WAIT) as turn:
        if turn is not None and _has_room(_asked(store), incident):
            store.health.wake(f"reconcile/respond/{incident.id}")
            with get_client(sync_client=True) as client:
                run = Runs(client).start("respond", {"incident_id": incident.id})
            store.incidents.set(incident.id, respond_run_id=run)
            return f"incident {incident.id}: run {run} asks about it"
    store.incidents.note(incident.id, "waits-its-turn", "respond", why="people are asked about others")
    store.incidents.move(incident.id, State.TRIAGED, "respond", triage={**(incident.triage or {}), TURN: True})
    return f"incident {incident.id} waits its turn to be asked about"
