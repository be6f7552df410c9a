"""Block: quarantine of the narrowest actor, in the store, obeyed by the guard."""

from typing import Any, ClassVar, cast

from firebreak.blocks.action import Action, LeftOut, Probe
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.holds import HoldKind
from firebreak.blocks.store.ledger import Approval, Step
from firebreak.detectors.containment import counts
from firebreak.detectors.findings import ActorType, Severity


class QuarantineActor(Action):
    """Refuse the incident's user or token in its workflow. Which one, the detectors' own rule has decided."""

    _block_type_name = "Quarantine Actor"
    _block_type_slug = "quarantine-actor"
    _description = "Firebreak action: the guard refuses this user or token until the incident is released."

    repeatable: ClassVar[bool] = True
    reasserted: ClassVar[bool] = True
    effect: ClassVar[tuple[str, ...]] = ("kind", "workflow")

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """What containment holds already (it is the narrowest); never a workflow, never a victim.

        Who was left free, a person may still hold: a token that several people use, as holding it hits them all,
        and an actor whom too few votes stand against, or none of them certain.
        """
        for hold in store.holds.of_incident(incident.id):
            if hold.kind != "stop-workflow":
                kind = hold.kind.removeprefix("quarantine-")
                return self._step(kind, hold.target, hold.workflow, "auto")
        if incident.actor_type not in (ActorType.USER, ActorType.TOKEN):
            return LeftOut(why=f"the incident points at a {incident.actor_type}: no user or token is to blame")
        if incident.severity.rank < Severity.HIGH.rank:
            return LeftOut(why=f"severity {incident.severity} is too low to hold anyone")
        if not any(counts(sighting.finding) for sighting in store.incidents.sightings(incident.id)):
            return LeftOut(
                why="no finding may be held against its actor: the line could have been forged, or nothing says that "
                "the words are the user's own"
            )
        return self._step(incident.actor_type.value, incident.actor, incident.workflow, "one")

    def _step(self, kind: str, target: str, workflow: str, approval: Approval) -> Step:
        return Step(
            action=self.get_block_type_slug(),
            target=target,
            parameters={"kind": kind, "workflow": workflow},
            title=f"Quarantine {kind} {target} in {workflow}",
            approval=approval,
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        user = step.target if step.parameters["kind"] == ActorType.USER else None
        token_id = step.target if step.parameters["kind"] == ActorType.TOKEN else None
        holds = store.standing(step.parameters["workflow"], user, token_id)
        mine = [hold for hold in holds if hold.kind == self._kind(step) and hold.incident_id == incident.id]
        return Probe(done=bool(mine), seen={"holds": [hold.kind for hold in holds]})

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        store.holds.add(self._kind(step), step.target, step.parameters["workflow"], incident.id, incident.kind)

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        store.holds.lift(self._kind(step), step.target, step.parameters["workflow"], incident.id, "release")

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        probe = self.verify(store, incident, step)
        return Probe(done=not probe.done, seen=probe.seen)

    def _kind(self, step: Step) -> HoldKind:
        return cast(HoldKind, f"quarantine-{step.parameters['kind']}")
