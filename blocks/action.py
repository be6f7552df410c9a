"""What an action is: plan, apply, verify, undo. An action of your own is one subclass and one policy entry.

ActionError       the target refused or can't be reached: said on the ledger row, tried again
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import BaseModel, Field

from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Outcome, Step


class ActionError(Exception):
    """The target refused, or can't be reached: the effect is not there, unless a probe sees it.

    The message names target, problem and what to do.
    """


class Probe(BaseModel):
    """What an independent look at the target saw. ``done`` None: it can't be told."""

    done: bool | None
    seen: dict[str, Any] = Field(default_factory=dict)


class LeftOut(BaseModel):
    """A step that this incident doesn't get, and why; the timeline keeps the words."""

    why: str


class Action(Block, ABC):
    """One kind of step. Everything it needs is in the step, so that what was approved is what runs."""

    _block_schema_capabilities: ClassVar[list[str]] = ["firebreak-action"]

    reasserted: ClassVar[bool] = False  # `reconcile` applies it again when its effect is found gone
    contains: ClassVar[bool] = True  # its effect holds something back; a message's doesn't
    remedy: ClassVar[bool] = False  # stays when the incident is resolved; undone only if it was a false alarm
    effect: ClassVar[tuple[str, ...]] = ()  # the parameters that, with the target, say which effect a step has

    @property
    def reversible(self) -> bool:
        """Whether this kind of action can be undone at all."""
        return type(self).undo is not Action.undo

    @property
    def repeatable(self) -> bool:
        """Whether applied (or undone) twice is the same as once. Where it isn't, and an apply ends without an answer,
        the outcome is unknown even if the probe sees nothing: it may still come, so it isn't tried again at once."""
        return False

    def can_undo(self, step: Step) -> bool:
        """Whether this very step can be undone."""
        return self.reversible

    @abstractmethod
    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """The step this incident needs, as data, or why there is none."""

    @abstractmethod
    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        """Look at the target itself: is the effect there?"""

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        """How the target is now: kept before the first apply, given back to undo."""
        return {}

    @abstractmethod
    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        """Bring the effect about. Errors: ActionError."""

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        """Take the effect back. Errors: ActionError."""
        raise ActionError(f"{step.action} can't be undone")

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        """Look at the target itself: is it as it was?"""
        return Probe(done=False, seen={"why": f"{step.action} can't be undone"})


def held_by_others(store: Store, incident: Incident, step: Step, effect: Sequence[str] = ()) -> list[int]:
    """Other open incidents for which the same effect was brought about: it is not this one's alone to take back.

    ``effect``: the action's `effect`. An action on the same target that differs in these has an effect of its own.
    """
    return [
        other.id
        for other in store.incidents.in_states()
        if other.id != incident.id
        for row in store.ledger.rows(other.id)
        if row.step.same_effect(step, effect) and row.state is Outcome.SUCCEEDED and not row.undo_of
    ]
