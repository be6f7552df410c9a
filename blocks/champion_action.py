"""What the two actions that move the champion have in common: the step says from which version to which."""

from typing import Any, ClassVar
from uuid import uuid4

from pydantic import Field

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe
from firebreak.blocks.model_files import with_probabilities
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.registry_errors import RegistryChanged, RegistryError
from firebreak.blocks.renew_reference import load_dataset
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step
from firebreak.detectors.findings import ActorType

WAIT_SECONDS = 10  # for another that is moving the same model's champion


class ChampionAction(Action):
    """Move the champion from the version that was planned on to another, and back."""

    repeatable: ClassVar[bool] = True
    remedy: ClassVar[bool] = True

    registry: ModelRegistry = Field(description="the registry whose champion is moved")

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        now = self._registry(step).champion_number()
        return Probe(done=now == step.parameters["to"], seen={"champion": now})

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        """Errors: ActionError (the champion isn't the planned one any more: nothing is attempted)."""
        now = self._registry(step).champion_number()
        if now != step.parameters["from"]:
            raise ActionError(
                f"no longer what was planned: the champion of {step.target} is version {now}, not "
                f"{step.parameters['from']}; look at it and triage again"
            )
        return {"champion": now}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        """Errors: ActionError (the champion isn't the planned one any more, or ``to`` can't be loaded or serve)."""
        registry, to = self._registry(step), step.parameters["to"]
        try:
            with_probabilities(registry.load_model(registry.get(to)), f"{registry.model} version {to}")
        except RegistryError as error:
            raise ActionError(f"{registry.model} stays at version {step.parameters['from']}: {error}") from error
        self._move(store, incident, registry, to, step.parameters["from"])

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        """Back only if nobody has moved on since; what this row never moved stays where it is."""
        registry, to = self._registry(step), step.parameters["to"]
        if former and registry.champion_number() == to:
            self._move(store, incident, registry, former["champion"], to)

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        """Undone is also a champion that somebody has chosen since."""
        if not former:
            return Probe(done=True, seen={"why": "it was so before this incident, which moved nothing"})
        now = self._registry(step).champion_number()
        undone = now == former["champion"] or now != step.parameters["to"]
        return Probe(done=undone, seen={"champion": now, "was": former["champion"]})

    def concerns(self, incident: Incident) -> bool:
        """Not an incident of a dataset whose block names another model's registry, or none.

        Errors: ValueError (the dataset has no block).
        """
        if incident.actor_type is not ActorType.DATASET:
            return True
        its = self.dataset(incident.actor).registry
        return its is not None and (its.tracking_uri, its.model) == (self.registry.tracking_uri, self.registry.model)

    def elsewhere(self, incident: Incident) -> LeftOut:
        """Why nothing is planned where the incident doesn't concern this model."""
        return LeftOut(
            why=f"dataset {incident.actor} is not about model {self.registry.model} of this block's registry"
        )

    def dataset(self, name: str) -> MonitoredDataset:
        """The block ``monitored-dataset/<name>``. Errors: ValueError (there is none)."""
        return load_dataset(name)

    def _registry(self, step: Step) -> ModelRegistry:
        if step.target != self.registry.model:
            raise ActionError(
                f"the step is about model {step.target}, and the block {step.action} has the registry of "
                f"{self.registry.model}: set it back, or plan again"
            )
        return self.registry

    def _move(
        self, store: Store, incident: Incident, registry: ModelRegistry, to: str | None, expected: str | None
    ) -> None:
        """One mover at a time, whichever incident it works for."""
        with store.lease(f"champion:{registry.model}", f"incident:{incident.id}/{uuid4()}", WAIT_SECONDS) as lease:
            if lease is None:
                raise ActionError(f"another is moving the champion of {registry.model}: try again")
            try:
                registry.set_champion(to, expected)
            except RegistryChanged as error:
                raise ActionError(f"no longer what was planned: {error}") from error
            except RegistryError as error:
                raise ActionError(str(error)) from error
