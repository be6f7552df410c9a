"""Block: put a new model version into service."""

from typing import Any

from firebreak.blocks.action import LeftOut
from firebreak.blocks.champion_action import ChampionAction
from firebreak.blocks.events import Event, send
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step


class PromoteModel(ChampionAction):
    """A version that has passed the gate becomes the champion. A person approves it unless the policy says auto."""

    _block_type_name = "Promote Model"
    _block_type_slug = "promote-model"
    _description = "Firebreak action: a registered model version becomes the champion."

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """``version`` and ``expected`` (the champion it was compared with) come from `retrain`; ``approval: auto``
        from the policy. Left out without a version, or where another model is concerned. Errors: ValueError."""
        version, expected = parameters.get("version"), parameters.get("expected")
        if version is None:
            return LeftOut(why="no version to promote was named")
        if not self.concerns(incident):
            return self.elsewhere(incident)
        model = self.registry.model
        return Step(
            action=self.get_block_type_slug(),
            target=model,
            parameters={"from": None if expected is None else str(expected), "to": str(version)},
            title=f"Promote model {model} to version {version} (now version {expected})",
            approval="auto" if parameters.get("approval") == "auto" else "one",
        )

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        """Errors: ActionError (see ``ChampionAction``)."""
        super().apply(store, incident, step)
        send(Event.MODEL_PROMOTED, incident.id, model=step.target, version=step.parameters["to"])
