"""When a dataset is as it should be again: its incident ends, and what was done about it stays done."""

from collections.abc import Callable
from uuid import uuid4

from firebreak.blocks.store import Incident, JudgedWindow, State, Store
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.detectors.findings import ActorType


def settle_recovered(store: Store, spec: DatasetSpec, window: JudgedWindow, tell: Callable[[int], None]) -> list[str]:
    """Resolve incidents of the dataset once nothing is confirmed any more. A promotion or a roll-back is not undone.

    Under a reference just renewed that takes as many windows as it would take to confirm a drift anew.
    """
    needed = max(spec.persistence.k, spec.persistence.recover)
    if window.confirmed or len(store.drift.windows(spec.dataset, window.reference, limit=needed)) < needed:
        return []
    done = []
    for incident in store.incidents.in_states(State.TRIAGED, State.CONTAINED, State.NEEDS_PERSON):
        if (incident.actor_type, incident.actor, incident.workflow) != (
            ActorType.DATASET,
            spec.dataset,
            spec.workflow,
        ):
            continue
        if _busy(store, incident):
            continue
        with store.lease(f"incident:{incident.id}", f"scan-drift/{uuid4()}") as lease:
            if lease is None or store.incidents.get(incident.id).state is not incident.state:
                continue
            store.incidents.note(incident.id, "recovered", "scan-drift", window=window.last_record)
            store.incidents.move(incident.id, State.RESOLVED, "scan-drift")
        tell(incident.id)
        done.append(f"incident {incident.id}: {spec.dataset} is as its reference again; resolved")
    return done


def _busy(store: Store, incident: Incident) -> bool:
    """A plan that waits to be carried out, or a retraining under way, ends first."""
    planned = incident.state is State.TRIAGED and bool((incident.triage or {}).get("steps"))
    return planned or any(retraining.open for retraining in store.retrainings.of_incident(incident.id))
