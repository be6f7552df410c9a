"""A plan one step of which fails: what was done before it is taken back, in reverse, whoever is killed meanwhile."""

from pathlib import Path

import pytest

from firebreak.blocks.store import Batch, Incident, Store
from firebreak.blocks.store.ledger import Outcome, Row
from firebreak.flows.executor import failed_before, take_back
from tests.flows.appending import Append, Dying, Killed, run, step
from tests.stores import finding


@pytest.fixture
def incident(store: Store) -> Incident:
    return store.incidents.get(store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0])


@pytest.fixture
def action(tmp_path: Path) -> Append:
    return Append(folder=tmp_path)


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
