"""Budgets in the executor: what is over them waits for a person and is not lost; what people approve takes no share."""

from datetime import timedelta
from pathlib import Path

from firebreak.blocks.store import Batch, Incident, State, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.automation import Breaker, Budget, Limits
from firebreak.blocks.store.ledger import Outcome, Row, plan_digest
from firebreak.flows.executor import execute, undo_of
from firebreak.flows.planning import planned, rows_of
from tests.flows.appending import Append, step
from tests.stores import finding

LIMITS = Limits({"append": Budget(hour=2)}, Breaker(actions=1_000))


def triaged(store: Store, actor: str) -> int:
    """An incident whose plan appends a line, by itself, to the actor's file."""
    (number, _), *_ = store.report(Batch(findings=[finding(actor, actor=actor)]), "guard").opened
    steps = [step(actor)]
    plan = {"steps": [s.model_dump(mode="json") for s in steps], "plan_digest": plan_digest(number, steps)}
    store.incidents.conclude(store.incidents.get(number), plan)
    return number


def respond(store: Store, number: int, action: Append, limits: Limits = LIMITS) -> tuple[Incident, Row | None]:
    incident = store.incidents.get(number)
    with store.lease(f"incident:{number}", "me") as lease:
        assert lease
        _, rows = rows_of(store, incident, planned(incident))
        return store.incidents.get(number), execute(
            store, incident, rows, lambda _: action, lease, limits=limits
        ).waiting


def approve(store: Store, number: int) -> None:
    incident = store.incidents.get(number)
    digest, rows = rows_of(store, incident, planned(incident))
    store.incidents.move(number, State.RESPONDING, "test")
    store.approvals.ask(number, digest, "run", store.now + timedelta(hours=1), 1)
    store.approvals.decide(number, digest, Decision.APPROVE, "ada", "", [row.digest for row in rows])


def test_what_is_over_budget_waits_for_a_person_and_is_done_once_approved(store: Store, tmp_path: Path) -> None:
    action = Append(folder=tmp_path)
    numbers = [triaged(store, f"a{n}") for n in range(4)]
    waiting = [respond(store, number, action)[1] for number in numbers]
    assert [row is not None for row in waiting] == [False, False, True, True]
    assert [len(action.lines(f"a{n}")) for n in range(4)] == [1, 1, 0, 0]
    assert store.incidents.timeline(numbers[2])[-1].entry == "turned-to-approval"
    approve(store, numbers[2])
    assert respond(store, numbers[2], action)[1] is None
    assert action.lines("a2") == ["done"]
    assert respond(store, numbers[3], action)[1]  # asked about anew: still nobody has agreed
    assert action.lines("a3") == []


def test_a_decision_about_the_plan_before_is_none_about_the_stricter_one(store: Store, tmp_path: Path) -> None:
    number = triaged(store, "a0")
    before = store.incidents.get(number)
    _, row = respond(store, number, Append(folder=tmp_path), Limits({"append": Budget(hour=0)}))
    assert row
    digest, (after,) = rows_of(store, store.incidents.get(number), planned(store.incidents.get(number)))
    assert before.triage
    assert digest != before.triage["plan_digest"]
    assert (after.approval, after.state) == ("one", Outcome.PLANNED)


def test_taking_back_is_never_held_up(store: Store, tmp_path: Path) -> None:
    action, number = Append(folder=tmp_path), triaged(store, "a0")
    incident, _ = respond(store, number, action)
    none = Limits({"append": Budget(hour=0)}, Breaker(actions=1))
    with store.lease(f"incident:{number}", "me") as lease:
        assert lease
        undo = store.ledger.enter(number, [undo_of(store.ledger.rows(number)[0])])
        assert execute(store, incident, undo, lambda _: action, lease, limits=none).waiting is None
    assert action.lines("a0") == []
