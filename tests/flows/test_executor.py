"""The executor on a real store, with targets that are files: what it says is what is there."""

from pathlib import Path
from typing import Any

import pytest

from firebreak.blocks.action import Action, ActionError, Probe
from firebreak.blocks.store import Batch, Incident, Store
from firebreak.blocks.store.leases import acquire
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.flows.executor import execute, failed_before, take_back
from tests.stores import Clock, finding


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


def step(target: str, approval: str = "auto", undo_of: str | None = None) -> Step:
    return Step(action="append", target=target, title=f"Append to {target}", approval=approval, undo_of=undo_of)  # type: ignore[arg-type]


@pytest.fixture
def incident(store: Store) -> Incident:
    return store.incidents.get(store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0])


@pytest.fixture
def action(tmp_path: Path) -> Append:
    return Append(folder=tmp_path)


def run(store: Store, incident: Incident, action: Append, *steps: Step, goes_on: bool = False) -> list[Row]:
    with store.lease("incident", "me") as lease:
        assert lease
        rows = store.ledger.enter(incident.id, steps)
        execute(store, incident, rows, lambda _: action, lease, {"append": "go-on"} if goes_on else {})
    return store.ledger.enter(incident.id, steps)


def test_steps_run_once_however_often_they_are_run(store: Store, incident: Incident, action: Append) -> None:
    for _ in range(3):
        rows = run(store, incident, action, step("a"), step("b"))
    assert [row.state for row in rows] == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]
    assert (action.lines("a"), action.lines("b")) == (["done"], ["done"])
    assert rows[0].former == {"was": 0}


@pytest.mark.parametrize(("dies", "before_resume"), [("before", []), ("after", ["done"])])
def test_killed_around_the_effect_the_probe_decides(
    store: Store, incident: Incident, action: Append, dies: str, before_resume: list[str]
) -> None:
    with pytest.raises(Killed):
        run(store, incident, action.model_copy(update={"dies": dies}), step("a"))
    assert action.lines("a") == before_resume
    (row,) = run(store, incident, action, step("a"))
    assert (row.state, action.lines("a")) == (Outcome.SUCCEEDED, ["done"])


def test_killed_where_no_probe_can_tell_it_is_unknown_and_not_done_again(
    store: Store, incident: Incident, action: Append
) -> None:
    blind = action.model_copy(update={"blind": True})
    with pytest.raises(Killed):
        run(store, incident, blind.model_copy(update={"dies": "after"}), step("a"))
    for _ in range(2):
        (row,) = run(store, incident, blind, step("a"))
        assert (row.state, action.lines("a")) == (Outcome.UNKNOWN, ["done"])


def test_success_is_what_the_probe_saw_never_that_apply_returned(
    store: Store, incident: Incident, action: Append
) -> None:
    (row,) = run(store, incident, action.model_copy(update={"idle": True}), step("a"))
    assert row.state is Outcome.FAILED
    assert row.error == "apply returned, but the probe doesn't see the effect"
    (row,) = run(store, incident, action, step("a"))
    assert (row.state, row.attempts) == (Outcome.SUCCEEDED, 2)


def test_a_refused_step_stops_the_plan_unless_it_may_go_on(store: Store, incident: Incident, action: Append) -> None:
    refusing = action.model_copy(update={"refuses": True})
    first, second = run(store, incident, refusing, step("a"), step("b"))
    assert (first.state, first.error, second.state) == (
        Outcome.FAILED,
        "ActionError: the target said no",
        Outcome.PLANNED,
    )
    first, second = run(store, incident, refusing, step("a"), step("b"), goes_on=True)
    assert (first.state, second.state) == (Outcome.FAILED, Outcome.FAILED)


def test_nothing_that_needs_a_person_runs_without_one(store: Store, incident: Incident, action: Append) -> None:
    rows = run(store, incident, action, step("a"), step("b", "one"), step("c"))
    assert [row.state for row in rows] == [Outcome.SUCCEEDED, Outcome.PLANNED, Outcome.PLANNED]
    assert action.lines("b") == action.lines("c") == []


def test_a_holder_that_lost_its_lease_touches_nothing(
    store: Store, incident: Incident, action: Append, clock: Clock
) -> None:
    rows = store.ledger.enter(incident.id, [step("a")])
    with store.lease("incident", "me") as lease:
        assert lease
        clock.forward(16)
        assert acquire(store._db, "incident", "another")
        with pytest.raises(Exception, match="ran out or went to another"):
            execute(store, incident, rows, lambda _: action, lease)
    assert action.lines("a") == []


def test_an_undo_restores_what_was_and_marks_the_row(store: Store, incident: Incident, action: Append) -> None:
    (action.folder / "a").write_text("")
    (row,) = run(store, incident, action, step("a"))
    (undone,) = run(store, incident, action, step("a", undo_of=row.digest))
    assert undone.state is Outcome.SUCCEEDED
    assert store.ledger.row(row.digest).state is Outcome.UNDONE
    assert action.lines("a") == []


def test_an_action_that_cannot_be_loaded_is_a_failed_row(store: Store, incident: Incident) -> None:
    def load(name: str) -> Action:
        raise ValueError(f"no block {name}")

    with store.lease("incident", "me") as lease:
        assert lease
        result = execute(store, incident, store.ledger.enter(incident.id, [step("a")]), load, lease)
    assert result.failed
    assert "no block append" in (result.failed.error or "")


def plan_of_three(store: Store, incident: Incident, action: Append) -> tuple[list[Row], Row]:
    """Two steps done, the third refused."""
    first, second = run(store, incident, action, step("a"), step("b"))
    refusing = action.model_copy(update={"refuses": True})
    *_, failed = run(store, incident, refusing, step("a"), step("b"), step("c"))
    assert (first.state, second.state, failed.state) == (Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED)
    return store.ledger.enter(incident.id, [step("a"), step("b"), step("c")]), failed


def test_what_was_done_before_a_failed_step_is_taken_back_in_reverse(
    store: Store, incident: Incident, action: Append
) -> None:
    rows, failed = plan_of_three(store, incident, action)
    with store.lease("incident", "me") as lease:
        assert lease
        assert failed_before(store, incident.id, "plan") is None
        undone = take_back(store, incident, rows, lambda _: action, lease, failed, "plan")
        again = take_back(store, incident, rows, lambda _: action, lease, failed, "plan")
    assert [(row.target, row.state) for row in undone] == [("b", Outcome.SUCCEEDED), ("a", Outcome.SUCCEEDED)]
    assert [row.attempts for row in again] == [1, 1]
    assert (action.lines("a"), action.lines("b"), action.lines("c")) == ([], [], [])
    told = [e.entry for e in store.incidents.timeline(incident.id) if e.entry == "taken-back"]
    assert told == ["taken-back"]
    found = failed_before(store, incident.id, "plan")
    assert found is not None
    assert found.target == "c"
    assert failed_before(store, incident.id, "the next triage's plan") is None


class Dying(Append):
    """Killed right after it has undone a step."""

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        super().undo(store, incident, step, former)
        raise Killed


def test_killed_while_it_takes_back_the_next_run_goes_on_with_it(
    store: Store, incident: Incident, action: Append
) -> None:
    rows, failed = plan_of_three(store, incident, action)

    with store.lease("incident", "me") as lease:
        assert lease
        with pytest.raises(Killed):
            take_back(store, incident, rows, lambda _: Dying(folder=action.folder), lease, failed, "plan")
    assert (action.lines("a"), action.lines("b")) == (["done"], [])
    with store.lease("incident", "another") as lease:
        assert lease
        take_back(store, incident, rows, lambda _: action, lease, failed, "plan")
    assert (action.lines("a"), action.lines("b")) == ([], [])
    assert [store.ledger.row(row.digest).state for row in rows] == [Outcome.UNDONE, Outcome.UNDONE, Outcome.FAILED]


def test_what_was_there_before_the_plan_is_not_taken_back(store: Store, incident: Incident, action: Append) -> None:
    (action.folder / "a").write_text("done\n")
    rows, failed = plan_of_three(store, incident, action)
    with store.lease("incident", "me") as lease:
        assert lease
        take_back(store, incident, rows, lambda _: action, lease, failed, "plan")
    assert (action.lines("a"), action.lines("b")) == (["done"], [])


class OneWay(Append):
    """Can't be undone."""

    @property
    def reversible(self) -> bool:
        return False


def test_what_can_not_be_undone_is_noted(store: Store, incident: Incident, action: Append) -> None:
    rows, failed = plan_of_three(store, incident, action)
    with store.lease("incident", "me") as lease:
        assert lease
        assert take_back(store, incident, rows, lambda _: OneWay(folder=action.folder), lease, failed, "plan") == []
    noted = [e.detail["target"] for e in store.incidents.timeline(incident.id) if e.entry == "not-reversible"]
    assert noted == ["b", "a"]
    assert action.lines("a") == ["done"]
