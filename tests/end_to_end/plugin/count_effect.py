"""An action as a user would write one: a POST to a service of theirs, which is not idempotent by nature."""

from typing import Any

import httpx
from pydantic import Field

from firebreak.blocks.action import Action, ActionError, Probe
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step


class CountEffect(Action):
    """Adds one to a counter in another process."""

    _block_type_name = "Count Effect"
    _block_type_slug = "count-effect"

    url: str = Field(description="the counting service")

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step:
        target = f"{self.url}/effects/incident-{incident.id}"
        return Step(action=self.get_block_type_slug(), target=target, title="Add one to the counter")

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        count = httpx.get(step.target, timeout=5).raise_for_status().json()["count"]
        return Probe(done=count > 0, seen={"count": count})

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        try:
            httpx.post(step.target, timeout=60).raise_for_status()
        except (httpx.ConnectError, httpx.HTTPStatusError) as error:  # a lost answer is neither: it may still come
            raise ActionError(f"the counter refused: {error}") from error
