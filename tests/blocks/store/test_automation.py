"""Budgets and the breaker: never more automatic actions than the policy allows, whoever asks and in what order."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firebreak.blocks.store import Batch, Incident, LeaseLost, State, Store
from firebreak.blocks.store.automation import HALTED, TO_APPROVAL, Breaker, Budget, Limits
from firebreak.blocks.store.ledger import Row, Step, plan_digest
from tests.stores import Clock, finding

WIDE = Breaker(actions=1_000_000)


def planned(store: Store, *actions: str) -> tuple[Incident, list[Row]]:
    """An incident of its own actor that nothing holds, triaged with one automatic step an action; its rows."""
    actor = uuid4().hex
    opened = store.report(Batch(findings=[finding(actor, actor=actor, votes=("patterns",))]), "guard").opened
    number = opened[0][0]
    steps = [Step(action=action, target=f"{actor}/{n}", title=action) for n, action in enumerate(actions)]
    triage = {"steps": [s.model_dump(mode="json") for s in steps], "plan_digest": plan_digest(number, steps)}
    assert store.incidents.conclude(store.incidents.get(number), triage)
    return store.incidents.get(number), store.ledger.enter(number, steps)


def allow(store: Store, row: Row, limits: Limits) -> str | None:
    with store.lease(f"incident:{row.incident_id}", "me", 5) as lease:
        assert lease
        return store.automation.allow(lease, row, limits)


def ask_for(store: Store, action: str, limits: Limits) -> str | None:
    return allow(store, planned(store, action)[1][0], limits)


def test_over_budget_the_step_waits_for_a_person_in_a_stricter_plan(store: Store) -> None:
    limits = Limits({"stop": Budget(hour=1)}, WIDE)
    assert ask_for(store, "stop", limits) is None
    incident, (row,) = planned(store, "stop")
    why = allow(store, row, limits)
    assert why == "over budget: 1 stop an hour may run without asking"
    stricter = store.incidents.get(incident.id).triage
    assert stricter
    assert incident.triage
    (step,) = (Step(**step) for step in stricter["steps"])
    assert (step.approval, store.ledger.row(row.digest).approval) == ("one", "one")
    assert stricter["plan_digest"] == plan_digest(incident.id, [step]) != incident.triage["plan_digest"]
    entry = store.incidents.timeline(incident.id)[-1]
    assert (entry.entry, entry.detail["action"], entry.detail["why"]) == ("turned-to-approval", "stop", why)
    assert ask_for(store, "other", limits) is None


@pytest.mark.parametrize(("budget", "seconds"), [(Budget(hour=2), 3600), (Budget(hour=9, day=2), 86400)])
def test_a_budget_comes_back_with_time(store: Store, clock: Clock, budget: Budget, seconds: int) -> None:
    limits = Limits({"stop": budget}, WIDE)
    assert [ask_for(store, "stop/x", limits) is None for _ in range(3)] == [True, True, False]
    clock.forward(seconds)
    assert ask_for(store, "stop/x", limits) is None


def test_a_run_that_died_before_the_deed_takes_no_second_share(store: Store) -> None:
    limits = Limits({"stop": Budget(hour=2)}, WIDE)
    row = planned(store, "stop")[1][0]
    assert [allow(store, row, limits) for _ in range(3)] == [None, None, None]
    assert ask_for(store, "stop", limits) is None


def test_done_again_after_an_undo_it_counts_again(store: Store) -> None:
    limits = Limits({"stop": Budget(hour=1)}, WIDE)
    row = planned(store, "stop")[1][0]
    assert allow(store, row, limits) is None
    assert allow(store, row.model_copy(update={"attempts": 1}), limits)


def test_without_the_lease_nothing_is_allowed_or_counted(store: Store, clock: Clock) -> None:
    row = planned(store, "stop")[1][0]
    with store.lease("incident", "me") as lease:
        assert lease
        clock.forward(16)
        with pytest.raises(LeaseLost):
            store.automation.allow(lease, row, Limits({"stop": Budget(hour=1)}, WIDE))
    assert ask_for(store, "stop", Limits({"stop": Budget(hour=1)}, WIDE)) is None


def test_eight_responders_together_never_overrun_a_budget(store: Store) -> None:
    limits = Limits({"stop": Budget(hour=5)}, WIDE)
    rows = [planned(store, "stop")[1][0] for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda row: allow(store, row, limits), rows))
    assert (said.count(None), len(said)) == (5, 24)


def test_too_many_actions_halt_all_and_open_one_incident(store: Store) -> None:
    limits = Limits(breaker=Breaker(actions=3, spares=("tell",)))
    said = [ask_for(store, f"action-{n}", limits) for n in range(6)]
    halt = store.automation.halted()
    assert halt
    assert said == [None] * 3 + [f"automation is halted (incident {halt.id}): more than 3 actions in 10 min"] * 3
    assert ask_for(store, "tell", limits) is None
    assert [i.kind for i in store.incidents.in_states(*State)].count(HALTED) == 1
    assert (halt.state, store.automation.suppressed(halt.id)) == (State.OPEN, {TO_APPROVAL: 3})


def test_a_person_resets_the_breaker_by_closing_its_incident(store: Store, clock: Clock) -> None:
    limits = Limits(breaker=Breaker(actions=2))
    assert [ask_for(store, "a", limits) is None for _ in range(3)] == [True, True, False]
    halt = store.automation.halted()
    assert halt
    clock.forward(1)
    store.incidents.move(halt.id, State.RESOLVED, "ada")
    clock.forward(1)
    assert [ask_for(store, "a", limits) is None for _ in range(3)] == [True, True, False]
    again = store.automation.halted()
    assert again
    assert again.id == halt.id  # it goes on: the same incident, opened again


def test_after_a_quiet_time_the_breaker_resets_itself(store: Store, clock: Clock) -> None:
    limits = Limits(breaker=Breaker(actions=1, quiet_minutes=30))
    assert store.automation.reset_if_quiet(limits) is None
    ask_for(store, "a", limits)
    ask_for(store, "a", limits)
    clock.forward(29 * 60)
    assert ask_for(store, "a", limits)  # it wanted to act: not quiet
    clock.forward(29 * 60)
    assert store.automation.reset_if_quiet(limits) is None
    clock.forward(2 * 60)
    assert store.automation.reset_if_quiet(limits)
    assert (store.automation.halted(), ask_for(store, "a", limits)) == (None, None)


def test_detectors_quarantines_are_counted_and_never_held_up(store: Store) -> None:
    limits = Limits({"quarantine-actor": Budget(hour=2)}, Breaker(actions=3))
    for n in range(4):
        assert store.report(Batch(findings=[finding(f"r{n}", actor=f"a{n}")]), "scan-logs").contained
        assert bool(store.automation.look(limits).opened) is (n == 3)
    assert store.automation.look(limits).opened == []
    assert ask_for(store, "other", limits)
    assert store.report(Batch(findings=[finding("r9", actor="a9")]), "scan-logs").contained
    later = Limits({"quarantine-actor": Budget(hour=2)}, WIDE)
    store.incidents.move(store.automation.halted().id, State.RESOLVED, "ada")  # type: ignore[union-attr]
    assert "over budget" in str(ask_for(store, "quarantine-actor", later))


numbers = itertools.count()


@given(
    events=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4000), st.booleans()), min_size=1, max_size=25),
    hour=st.integers(0, 3),
    day=st.integers(0, 6),
    most=st.integers(1, 8),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_interleaving_allows_more_than_the_policy(
    store: Store, clock: Clock, events: list[tuple[str, int, bool]], hour: int, day: int, most: int
) -> None:
    """Asked by anyone, at any times, some twice; a person resets the breaker now and then."""
    clock.forward(90_000)  # what the example before did is over
    example = next(numbers)
    breaker = Breaker(actions=most, minutes=30)
    limits = Limits({f"{name}{example}": Budget(hour=hour, day=day) for name in "ab"}, breaker)
    if halt := store.automation.halted():
        store.incidents.move(halt.id, State.RESOLVED, "ada")
    done: list[tuple[str, float]] = []
    at, reset = 0.0, -1.0
    for name, seconds, resets in events:
        clock.forward(seconds + 1)
        at += seconds + 1
        _, (row,) = planned(store, f"{name}{example}")
        said = allow(store, row, limits)
        assert said is not None or allow(store, row, limits) is None  # asked twice, counted once
        spent_hour = Counter(n for n, t in done if t > at - 3600)[name]
        spent_day = Counter(n for n, t in done if t > at - 86400)[name]
        acted = sum(t > max(at - 1800, reset) for _, t in done)
        halted = store.automation.halted() is not None
        if said is None:
            done.append((name, at))
            assert name == "c" or (spent_hour < hour and spent_day < day)
            assert acted < most
        else:
            assert halted or (name != "c" and (spent_hour >= hour or spent_day >= day))
        if resets and (halt := store.automation.halted()):
            store.incidents.move(halt.id, State.RESOLVED, "ada")
            reset = at
