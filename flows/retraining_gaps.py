"""The gaps of retrainings, for `reconcile`: signals that were lost, runs that died, ends that were not written down."""

from datetime import timedelta

from prefect.client.schemas.objects import StateType

from firebreak.blocks.store import Incident, Retraining, RetrainingState, State, Store
from firebreak.flows.runs import Runs

UNTAKEN = timedelta(seconds=20)  # a request nobody took, or work that nobody holds


def restart_retrainings(store: Store, runs: Runs) -> list[str]:
    """Open retrainings that nobody works on. They wait until their incident's own plan is at its end."""
    done = []
    for one in store.retrainings.open():
        if store.holder(f"retraining:{one.dataset}") or store.now - one.updated_at < UNTAKEN:
            continue
        incident = store.incidents.get(one.incident_id)
        if ending := _ending(one, incident):
            store.retrainings.set(one.id, state=ending)
            done.append(f"incident {incident.id}: its retraining is {ending}, which was not written down")
        elif incident.state is State.CONTAINED:
            done += _again(store, runs, one)
    return done


def _ending(one: Retraining, incident: Incident) -> RetrainingState | None:
    if incident.closed:
        return RetrainingState.WITHDRAWN
    if (incident.triage or {}).get("retraining") == one.id:
        return RetrainingState.HANDED_OVER
    if incident.state is State.NEEDS_PERSON and "ending" in one.detail:
        return RetrainingState(one.detail["ending"])
    return None


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
