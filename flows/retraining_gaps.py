"""The gaps of retrainings, for `reconcile`: signals that were lost, runs that died, ends that were not written down."""

from datetime import timedelta
from uuid import uuid4

from prefect.client.schemas.objects import StateType

from firebreak.blocks.store import Retraining, RetrainingState, State, Store
from firebreak.flows.promotion import end_due
from firebreak.flows.runs import Runs

UNTAKEN = timedelta(seconds=20)  # a request nobody took, or work that nobody holds


def restart_retrainings(store: Store, runs: Runs) -> list[str]:
    """Open retrainings that nobody works on. They wait until their incident's own plan is at its end."""
    done = []
    for one in store.retrainings.open():
        if store.holder(f"retraining:{one.dataset}") or store.now - one.updated_at < UNTAKEN:
            continue
        with store.lease(f"incident:{one.incident_id}", f"reconcile/{uuid4()}") as lease:
            if lease is None:
                continue
            now, state = _ended(store, one)
        if not now.open:
            done.append(f"incident {one.incident_id}: its retraining is {now.state}, which was not written down")
        elif state is State.CONTAINED:
            done += _again(store, runs, one)
    return done


def _ended(store: Store, one: Retraining) -> tuple[Retraining, State]:
    """The retraining, ended where its end is due, and its incident's state."""
    incident = store.incidents.get(one.incident_id)
    now = end_due(store, one, incident)
    if now.open and incident.state is State.NEEDS_PERSON and "ending" in one.detail:
        now = store.retrainings.set(one.id, state=RetrainingState(one.detail["ending"]))
    return now, incident.state


def _again(store: Store, runs: Runs, one: Retraining) -> list[str]:
    last = runs.read(one.run_id)
    if last and last.state and last.state.type is StateType.SCHEDULED:
        return []  # one is on its way already; a worker takes it when it can
    if not store.health.wake(f"reconcile/retrain/{one.id}"):
        return []
    runs.bury(last, "Firebreak found its process gone")
    started = runs.start("retrain", {"incident_id": one.incident_id})
    store.retrainings.set(one.id, run_id=started)
    store.incidents.note(one.incident_id, "retrain-restarted", "reconcile", run_id=started)
    return [f"incident {one.incident_id}: nobody works on its retraining; started retrain run {started}"]
