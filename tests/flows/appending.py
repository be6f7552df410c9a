"""For the tests of the executor: an action whose targets are files, which can be made to misbehave, and running it."""

from pathlib import Path
from typing import Any

from firebreak.blocks.action import Action, ActionError, Probe
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Row, Step
from firebreak.flows.executor import execute


class Killed(BaseException):
    """Stands for a SIGKILL: nothing catches it."""


class Append(Action):
    """Appends a line to a file: not idempotent by nature. Switches make it misbehave."""

    folder: Path
    blind: bool = False  # the probe can't tell
    idle: bool = False  # apply returns and does nothing
    refuses: bool = False
    dies: str = ""  # before | after the effect

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step:
        return step(parameters["target"])

    def lines(self, target: str) -> list[str]:
        file = self.folder / target
        return file.read_text().splitlines() if file.exists() else []

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        return Probe(done=None if self.blind else bool(self.lines(step.target)), seen={"lines": 1})

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        return {"was": len(self.lines(step.target))}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        if self.refuses:
            raise ActionError("the target said no")
        if self.dies == "before":
            raise Killed
        if not self.idle:
            with (self.folder / step.target).open("a") as file:
                file.write("done\n")
        if self.dies == "after":
            raise Killed

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        kept = self.lines(step.target)[: former["was"]]
        (self.folder / step.target).write_text("".join(line + "\n" for line in kept))

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        return Probe(done=len(self.lines(step.target)) == former["was"])


class Dying(Append):
    """Killed right after it has undone a step."""

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        super().undo(store, incident, step, former)
        raise Killed


def step(target: str, approval: str = "auto", undo_of: str | None = None) -> Step:
    return Step(action="append", target=target, title=f"Append to {target}", approval=approval, undo_of=undo_of)  # type: ignore[arg-type]


def run(store: Store, incident: Incident, action: Append, *steps: Step, goes_on: bool = False) -> list[Row]:
    with store.lease("incident", "me") as lease:
        assert lease
        rows = store.ledger.enter(incident.id, steps)
        execute(store, incident, rows, lambda _: action, lease, {"append": "go-on"} if goes_on else {})
    return store.ledger.enter(incident.id, steps)
