"""Containment that ends by itself: policy says after how long; `reconcile` then undoes it, verified as ever."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from firebreak.blocks.store import Incident, Lease, PlanChanged, State, Store
from firebreak.blocks.store.ledger import SETTLED, Outcome, Row, Step
from firebreak.flows.executor import carry_out, undo_of
from firebreak.flows.incident_page import publish
from firebreak.flows.runs import Runs
from firebreak.flows.shared import load_action

THERE = (Outcome.SUCCEEDED, Outcome.UNKNOWN)  # or may be


def with_end(store: Store, incident: Incident, step: Step, seconds: int | None) -> Step:
    """The step with its end, in words too. What nobody can take back, or what is a remedy, has none, which is noted."""
    if seconds is None:
        return step
    action = load_action(step.action)
    if action.remedy or not action.can_undo(step):
        why = "it is a remedy" if action.remedy else "it can't be undone"
        store.incidents.note(incident.id, "never-expires", "triage", action=step.action, target=step.target, why=why)
        return step
    return step.model_copy(update={"expires_after": seconds, "title": f"{step.title}, for {in_words(seconds)}"})


def in_words(seconds: int) -> str:
    """As the policy has it: 30m, 24h, 7d."""
    unit, size = next((u, s) for u, s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % s == 0)
    return f"{seconds // size}{unit}"


def at_their_end(rows: Sequence[Row], now: datetime) -> list[Row]:
    """Rows whose end has come. An effect that the incident wants twice, as triaged again, ends with the later one."""
    there = [row for row in rows if row.state in THERE and not row.undo_of]

    def over(row: Row) -> bool:
        same = [one for one in there if one.step.same_effect(row.step)]
        return all(one.ends_at is not None and one.ends_at <= now for one in same)

    return [row for row in there if over(row)]


def end_expired(store: Store, runs: Runs) -> list[str]:
    """Undo what has come to its end. What can't be verified is said and tried again, half a minute later."""
    done = []
    for number in store.ledger.at_their_end():
        with store.lease(f"incident:{number}", f"reconcile/{uuid4()}") as lease:
            if lease is None or not store.health.wake(f"reconcile/end/{number}"):
                continue
            incident = store.incidents.get(number)
            if not incident.closed:
                done += _end(store, incident, lease)
    return done


def _end(store: Store, incident: Incident, lease: Lease) -> list[str]:
    done = []
    for row in reversed(at_their_end(store.ledger.rows(incident.id), store.now)):
        (undo,) = store.ledger.enter(incident.id, [undo_of(row)])
        try:
            if undo.state not in SETTLED:
                undo = carry_out(store, incident, undo, load_action, lease)
        except PlanChanged as changed:
            done.append(str(changed))
            continue
        if undo.state is Outcome.SUCCEEDED:
            store.incidents.note(incident.id, "expired", "reconcile", action=row.action, target=row.target)
            done.append(f"incident {incident.id}: {row.title}: its time is over: undone")
        else:
            done.append(f"incident {incident.id}: {undo.title}: {undo.state}: {undo.error}")
    if done:
        stands_no_more(store, incident.id, "reconcile")
        publish(store, incident.id)
    return done


def stands_no_more(store: Store, incident_id: int, by: str) -> bool:
    """Move a contained incident that nothing contains any more to where it is seen; whether that was so."""
    contained = store.incidents.get(incident_id).state is State.CONTAINED
    if not contained or store.holds.of_incident(incident_id):
        return False
    there = (*THERE, Outcome.ATTEMPTED)
    if any(row.state in there and not row.undo_of and _contains(row) for row in store.ledger.rows(incident_id)):
        return False
    store.incidents.note(incident_id, "stands-no-more", by, why="everything that contained it was taken back")
    store.incidents.move(incident_id, State.NEEDS_PERSON, by)
    return True


def _contains(row: Row) -> bool:
    try:
        return load_action(row.action).contains
    except (TypeError, ValueError):
        return True  # its block is gone: nobody can say that it doesn't
