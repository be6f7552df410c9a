"""Block: put the model version before the champion back into service."""

from typing import Any

from firebreak.blocks.action import LeftOut
from firebreak.blocks.champion_action import ChampionAction
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step


class RollBackModel(ChampionAction):
    """The champion's predecessor serves again. Reversible, so a policy may let it run by itself."""

    _block_type_name = "Roll Back Model"
    _block_type_slug = "roll-back-model"
    _description = "Firebreak action: the model version before the champion serves again."

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """Left out where no version was there before, or another model is meant. Errors: RegistryError, ValueError."""
        if not self.concerns(incident):
            return self.elsewhere(incident)
        champion = self.registry.champion()
        former = self.registry.former(champion) if champion else None
        if champion is None or former is None:
            return LeftOut(why=f"model {self.registry.model} has no version to go back to")
        model = self.registry.model
        return Step(
            action=self.get_block_type_slug(),
            target=model,
            parameters={"from": champion.number, "to": former.number},
            title=f"Roll back model {model} from version {champion.number} to version {former.number}",
        )
