"""The executor on a real store, with targets that are files: what it says is what is there."""

from pathlib import Path
from typing import Any

import pytest

from firebreak.blocks.action import Action
from firebreak.blocks.store import Batch, Incident, PlanChanged, Store
from firebreak.blocks.store.leases import acquire
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.blocks.store.schema import ledger
from firebreak.flows.executor import LATE, execute, undo_of
from tests.flows.appending import Append, Dying, Killed, run, step
from tests.stores import Clock, finding


@pytest.fixture
def incident(store: Store) -> Incident:
    return store.incidents.get(store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0])


@pytest.fixture
def action(tmp_path: Path) -> Append:
    return Append(folder=tmp_path)


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


@pytest.mark.parametrize(
    ("changed", "read_again"),
    [
        ({"target": "b"}, True),
        ({"parameters": {"x": 1}}, True),
        ({"target": "b"}, False),
        ({"approval": "auto"}, False),
    ],
)
def test_a_row_that_was_changed_behind_its_digest_does_not_run(
    store: Store, incident: Incident, action: Append, changed: dict[str, Any], read_again: bool
) -> None:
    rows = store.ledger.enter(incident.id, [step("a", "one")])
    with store._db.write() as conn:
        conn.execute(ledger.update().values(**changed, state=Outcome.APPROVED))
    with store.lease("incident", "me") as lease:
        assert lease
        with pytest.raises(PlanChanged, match="was changed"):
            execute(store, incident, store.ledger.rows(incident.id) if read_again else rows, lambda _: action, lease)
    assert (action.lines("a"), action.lines("b")) == ([], [])


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


class Slow(Append):
    """The request gets no answer; what it asked for is done later, if at all."""

    mended: bool = False

    @property
    def repeatable(self) -> bool:
        return self.mended

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        raise TimeoutError("no answer")


def test_no_answer_is_no_failure_where_a_second_apply_would_add(
    store: Store, incident: Incident, action: Append, clock: Clock
) -> None:
    slow = Slow(folder=action.folder)
    (row,) = run(store, incident, slow, step("a"))
    assert (row.state, row.error) == (
        Outcome.UNKNOWN,
        "TimeoutError: no answer; the effect isn't there, but may still come",
    )
    (row,) = run(store, incident, action, step("a"))  # at once: it isn't tried again
    assert (row.state, action.lines("a")) == (Outcome.UNKNOWN, [])
    Append.apply(action, store, incident, step("a"))  # it comes late
    (row,) = run(store, incident, action, step("a"))
    assert (row.state, row.attempts, action.lines("a")) == (Outcome.SUCCEEDED, 1, ["done"])


def test_no_answer_and_nothing_comes_it_is_tried_again_later(
    store: Store, incident: Incident, action: Append, clock: Clock
) -> None:
    run(store, incident, Slow(folder=action.folder), step("a"))
    clock.forward(LATE.total_seconds())
    (row,) = run(store, incident, action, step("a"))
    assert (row.state, row.attempts, action.lines("a")) == (Outcome.SUCCEEDED, 2, ["done"])


def test_no_answer_is_a_failure_where_a_second_apply_adds_nothing(
    store: Store, incident: Incident, action: Append
) -> None:
    (row,) = run(store, incident, Slow(folder=action.folder, mended=True), step("a"))
    assert (row.state, row.error) == (Outcome.FAILED, "TimeoutError: no answer")


def test_a_doubt_stays_one_when_the_action_can_not_be_loaded(store: Store, incident: Incident, action: Append) -> None:
    blind = action.model_copy(update={"blind": True})
    with pytest.raises(Killed):
        run(store, incident, blind.model_copy(update={"dies": "after"}), step("a"))

    def load(name: str) -> Action:
        raise ValueError(f"no block {name}")

    with store.lease("incident", "me") as lease:
        assert lease
        execute(store, incident, store.ledger.enter(incident.id, [step("a")]), load, lease)
    (row,) = run(store, incident, blind, step("a"))
    assert (row.state, action.lines("a")) == (Outcome.UNKNOWN, ["done"])


def test_killed_in_an_undo_a_new_plan_does_not_believe_that_the_effect_is_still_there(
    store: Store, incident: Incident, action: Append
) -> None:
    (row,) = run(store, incident, action, step("a"))
    with pytest.raises(Killed):
        run(store, incident, Dying(folder=action.folder), undo_of(row))
    assert (store.ledger.row(row.digest).state, action.lines("a")) == (Outcome.SUCCEEDED, [])
    store.ledger.replan(incident.id, [step("a")])
    (row,) = run(store, incident, action, step("a"))
    assert (row.state, action.lines("a")) == (Outcome.SUCCEEDED, ["done"])
    (undone,) = run(store, incident, action, undo_of(row))
    assert (undone.state, action.lines("a")) == (Outcome.SUCCEEDED, [])


class Dated(Append):
    """Its target was something else each time."""

    day: str

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        return {**super().former(store, incident, step), "day": self.day}


def test_done_again_after_an_undo_what_was_there_then_is_kept(store: Store, incident: Incident, action: Append) -> None:
    (row,) = run(store, incident, Dated(folder=action.folder, day="monday"), step("a"))
    run(store, incident, action, undo_of(row))
    store.ledger.replan(incident.id, [step("a")])
    (row,) = run(store, incident, Dated(folder=action.folder, day="friday"), step("a"))
    assert row.former == {"was": 0, "day": "friday"}
    (undone,) = run(store, incident, action, undo_of(row))
    assert (undone.state, action.lines("a")) == (Outcome.SUCCEEDED, [])
