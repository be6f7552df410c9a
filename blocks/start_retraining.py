"""Block: ask for a new model, once; the flow `retrain` makes it. Cooldown and budget are the policy's."""

from datetime import timedelta
from typing import Any, ClassVar

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe
from firebreak.blocks.events import Event, send
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.renew_reference import load_dataset
from firebreak.blocks.retraining_rules import RetrainingRules, rules_in_force
from firebreak.blocks.store import Incident, Retraining, RetrainingState, State, Store
from firebreak.blocks.store.ledger import Step
from firebreak.detectors.findings import ActorType

WEEK = timedelta(days=7)
WAIT_SECONDS = 5.0  # for another incident that is asking just now


class StartRetraining(Action):
    """Write the request into the store, then signal. What the retraining leads to has steps of its own."""

    _block_type_name = "Start Retraining"
    _block_type_slug = "start-retraining"
    _description = "Firebreak action: ask for a new model for a drifted dataset; its promotion is decided later."

    repeatable: ClassVar[bool] = True
    remedy: ClassVar[bool] = True  # what it led to has resolved the incident; what is still open ends with it

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """Left out where no dataset is concerned, its block names no registry, or the policy has no such section.

        Triaged again while its retraining runs, the incident keeps that one; afterwards it asks anew.
        """
        if incident.actor_type is not ActorType.DATASET:
            return LeftOut(why=f"the incident is about a {incident.actor_type}, not a dataset")
        if rules_in_force(store) is None:
            return LeftOut(why="the policy has no section retraining")
        if self.dataset(incident.actor).registry is None:
            return LeftOut(why=f"the block monitored-dataset/{incident.actor} names no model registry")
        running = [r for r in store.retrainings.of_incident(incident.id) if r.open]
        triages = sum(entry.entry == State.TRIAGED for entry in store.incidents.timeline(incident.id))
        return Step(
            action=self.get_block_type_slug(),
            target=incident.actor,
            parameters={
                "dataset": incident.actor,
                "round": running[-1].detail["round"] if running else triages,
            },
            title=f"Start retraining for dataset {incident.actor}",
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        asked = self._asked(store, incident, step)
        seen = {"retraining": asked.id, "state": str(asked.state)} if asked else {"retraining": None}
        return Probe(done=asked is not None and asked.state is not RetrainingState.WITHDRAWN, seen=seen)

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        """Errors: ActionError (cooldown, budget, another retraining under way), saying until when."""
        dataset, key = str(step.parameters["dataset"]), step.digest(incident.id)
        with store.lease(f"retraining-requests:{dataset}", f"incident {incident.id}", WAIT_SECONDS) as lease:
            if lease is None:
                raise ActionError(f"dataset {dataset}: another incident is asking for a retraining; try again")
            rules = rules_in_force(store)
            if rules is None:
                raise ActionError(f"dataset {dataset}: the policy has no retraining section any more; add it again")
            refuse_too_many(store, rules, dataset, key)
            lease.check()
            store.retrainings.request(incident.id, dataset, key, {"round": step.parameters["round"]})
        self.signal(incident.id, dataset)

    def dataset(self, name: str) -> MonitoredDataset:
        """The block ``monitored-dataset/<name>``. Errors: ValueError (there is none)."""
        return load_dataset(name)

    def signal(self, incident_id: int, dataset: str) -> None:
        """Start `retrain` through its automation; `reconcile` does so when this is lost."""
        send(Event.DRIFT_CONFIRMED, incident_id, dataset=dataset)

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        """Withdraw what is still under way. Once handed over, its promotion is undone by the promotion's own steps."""
        asked = self._asked(store, incident, step)
        if asked is not None and asked.open:
            store.retrainings.set(asked.id, state=RetrainingState.WITHDRAWN)

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        asked = self._asked(store, incident, step)
        return Probe(done=asked is None or not asked.open, seen={"retraining": str(asked.state) if asked else None})

    def _asked(self, store: Store, incident: Incident, step: Step) -> Retraining | None:
        key = step.undo_of or step.digest(incident.id)
        return next((r for r in store.retrainings.of_incident(incident.id) if r.key == key), None)


def refuse_too_many(store: Store, rules: RetrainingRules, dataset: str, key: str) -> None:
    """Errors: ActionError when dataset's cooldown or weekly budget forbids one more (``key`` itself doesn't count)."""
    for other in store.retrainings.open():
        if other.dataset == dataset and other.key != key:
            raise ActionError(
                f"dataset {dataset}: retraining {other.id} of incident {other.incident_id} is under way; "
                "triage this incident again when it has ended"
            )
    made = sorted(r.requested_at for r in store.retrainings.since(dataset, store.now - WEEK) if r.key != key)
    if len(made) >= rules.budget_per_week:
        until = made[-rules.budget_per_week] + WEEK
        raise ActionError(
            f"dataset {dataset}: {len(made)} retrainings in seven days, the policy's budget_per_week is "
            f"{rules.budget_per_week}; the next may be asked for after {until:%Y-%m-%d %H:%M} UTC"
        )
    cooldown = timedelta(minutes=rules.cooldown_minutes)
    if made and store.now < made[-1] + cooldown:
        raise ActionError(
            f"dataset {dataset}: the last retraining was asked for at {made[-1]:%H:%M} UTC, the policy's "
            f"cooldown_minutes is {rules.cooldown_minutes:g}; the next may be asked for after "
            f"{made[-1] + cooldown:%Y-%m-%d %H:%M} UTC"
        )
