"""Block: stop a workflow, in the store (the truth, obeyed by the guard) and in Prefect (limit, schedules, runs)."""

from typing import Any, ClassVar

from pydantic import Field

from firebreak.blocks.action import Action, Probe
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step
from firebreak.blocks.workflow_controls import WorkflowControls
from firebreak.blocks.workflow_state import ControlsState


class StopWorkflow(Action):
    """Stop every deployment of the incident's workflow until the incident is released."""

    _block_type_name = "Stop Workflow"
    _block_type_slug = "stop-workflow"
    _description = (
        "Firebreak action: switch in the store, limit 0, schedules paused, waiting and running runs cancelled."
    )

    repeatable: ClassVar[bool] = True
    reasserted: ClassVar[bool] = True

    controls: WorkflowControls = Field(default_factory=WorkflowControls, description="Prefect's side of the workflow")

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step:
        return Step(
            action=self.get_block_type_slug(),
            target=incident.workflow,
            title=f"Stop workflow {incident.workflow}: guard switch, limit 0, schedules paused, runs cancelled",
            approval="one",  # it hits every user, so no policy can make it automatic
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        missing = self.controls.is_stopped(step.target)
        if not any(h.incident_id == incident.id for h in self._holds(store, step)):
            missing = ["the guard's switch is not set", *missing]
        return Probe(done=not missing, seen={"missing": missing})

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        """As it was before anybody stopped it: another incident's stop isn't what release should go back to."""
        for hold in self._holds(store, step):
            for row in store.ledger.rows(hold.incident_id):
                if row.action == step.action and row.target == step.target and row.former and not row.undo_of:
                    return row.former
        return self.controls.read(step.target).model_dump(mode="json")

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        store.holds.add("stop-workflow", step.target, step.target, incident.id, incident.kind)
        self.controls.stop(step.target)

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        if not self._others(store, incident, step):
            self.controls.restore(step.target, ControlsState.model_validate(former))
        store.holds.lift("stop-workflow", step.target, step.target, incident.id, "release")

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        if others := self._others(store, incident, step):
            return Probe(done=not self._mine(store, incident, step), seen={"still stopped by incidents": others})
        missing = self.controls.is_restored(step.target, ControlsState.model_validate(former))
        if self._mine(store, incident, step):
            missing = ["the guard's switch is still set", *missing]
        return Probe(done=not missing, seen={"missing": missing})

    def _holds(self, store: Store, step: Step) -> list[Any]:
        return [h for h in store.standing(step.target, None, None) if h.kind == "stop-workflow"]

    def _others(self, store: Store, incident: Incident, step: Step) -> list[int]:
        return [h.incident_id for h in self._holds(store, step) if h.incident_id != incident.id]

    def _mine(self, store: Store, incident: Incident, step: Step) -> bool:
        return any(h.incident_id == incident.id for h in self._holds(store, step))
