"""States, leases, ledger, approvals, holds, heartbeats."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from firebreak.blocks.store import Batch, IllegalTransition, IncidentMoved, LeaseLost, State, Store, UnknownIncident
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.leases import acquire
from firebreak.blocks.store.ledger import Outcome, Step, plan_digest
from firebreak.blocks.store.states import CLOSED, TRANSITIONS, check
from tests.stores import Clock, finding

STEPS = [
    Step(action="quarantine-actor", target="mallory", title="Quarantine"),
    Step(action="stop-workflow", target="answer-tickets", title="Stop", approval="one"),
]


@pytest.fixture
def incident_id(store: Store) -> int:
    return store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_only_steps_of_the_table_are_possible(before: State, after: State) -> None:
    if after in TRANSITIONS[before]:
        check(before, after)
    else:
        with pytest.raises(IllegalTransition, match=str(before)):
            check(before, after)


def test_every_state_leads_to_a_closed_one_and_a_closed_one_nowhere_but_to_open() -> None:
    for state in State:
        reach = {state}
        while grown := {after for before in reach for after in TRANSITIONS[before]} - reach:
            reach |= grown
        assert reach & CLOSED
        assert state not in CLOSED or TRANSITIONS[state] <= {State.OPEN}
    assert not TRANSITIONS[State.FALSE_POSITIVE]


def test_an_illegal_step_changes_nothing(store: Store, incident_id: int) -> None:
    with pytest.raises(IllegalTransition):
        store.incidents.move(incident_id, State.CONTAINED, "test")
    assert store.incidents.get(incident_id).state is State.OPEN
    with pytest.raises(UnknownIncident):
        store.incidents.move(999, State.TRIAGED, "test")


def test_a_step_meant_for_another_state_changes_nothing(store: Store, incident_id: int) -> None:
    with pytest.raises(IncidentMoved, match="is open, not contained"):
        store.incidents.move(incident_id, State.TRIAGED, "test", expected=State.CONTAINED)
    assert store.incidents.get(incident_id).state is State.OPEN
    store.incidents.move(incident_id, State.TRIAGED, "test", expected=State.OPEN)
    assert store.incidents.get(incident_id).state is State.TRIAGED


def test_evidence_is_kept_once_with_its_hash(store: Store, incident_id: int) -> None:
    first = store.incidents.freeze(incident_id, "records", [{"prompt": "a\u200bb"}])
    assert store.incidents.freeze(incident_id, "records", [{"prompt": "a\u200bb"}]) == first
    assert store.incidents.freeze(incident_id, "records", [{"prompt": "other"}]) != first
    assert [e.name for e in store.incidents.evidence(incident_id)] == ["records", "records"]


def test_one_of_many_takers_gets_the_lease_and_the_next_one_when_it_ran_out(store: Store, clock: Clock) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: acquire(store._db, "work", f"owner-{n}"), range(8)))
    assert taken.count(True) == 1
    assert not acquire(store._db, "work", "late")
    clock.forward(15.1)
    assert acquire(store._db, "work", "late")
    assert store.holder("work") == "late"


def test_a_lease_is_given_back_and_a_lost_one_is_noticed(store: Store, clock: Clock) -> None:
    with store.lease("work", "me") as lease:
        assert lease
        lease.check()
        clock.forward(16)
        assert acquire(store._db, "work", "thief")
        with pytest.raises(LeaseLost):
            lease.check()
    assert store.holder("work") == "thief"


def test_a_plan_is_entered_once_whoever_enters_it(store: Store, incident_id: int) -> None:
    with ThreadPoolExecutor(4) as pool:
        plans = list(pool.map(lambda _: store.ledger.enter(incident_id, STEPS), range(4)))
    assert all([row.digest for row in rows] == [s.digest(incident_id) for s in STEPS] for rows in plans)
    assert len(store.ledger.rows(incident_id)) == 2


def test_digests_tell_targets_parameters_incidents_and_undo_apart() -> None:
    step = STEPS[0]
    variants = [
        step.digest(1),
        step.digest(2),
        step.model_copy(update={"target": "ada"}).digest(1),
        step.model_copy(update={"parameters": {"x": 1}}).digest(1),
        step.model_copy(update={"undo_of": "d"}).digest(1),
    ]
    assert len(set(variants)) == len(variants)
    stricter = [STEPS[0].model_copy(update={"approval": "one"}), STEPS[1]]
    assert plan_digest(1, STEPS) != plan_digest(1, stricter)


def test_the_ledger_keeps_the_first_former_state_and_refuses_a_holder_without_lease(
    store: Store, clock: Clock, incident_id: int
) -> None:
    row = store.ledger.enter(incident_id, STEPS)[0]
    with store.lease("incident", "me") as lease:
        assert lease
        store.ledger.attempt(lease, row, {"limit": 4})
        store.ledger.attempt(lease, row, {"limit": 0})
        clock.forward(16)
        assert acquire(store._db, "incident", "other")
        with pytest.raises(LeaseLost):
            store.ledger.settle(lease, row, Outcome.SUCCEEDED, {})
    kept = store.ledger.row(row.digest)
    assert (kept.state, kept.former, kept.attempts) == (Outcome.ATTEMPTED, {"limit": 4}, 2)


def _ask(store: Store, incident_id: int) -> str:
    digest = plan_digest(incident_id, STEPS)
    store.ledger.enter(incident_id, STEPS)
    for state in (State.TRIAGED, State.RESPONDING):
        store.incidents.move(incident_id, state, "test")
    store.approvals.ask(incident_id, digest, "run-1", store.now + timedelta(minutes=30))
    return digest


def test_the_first_decision_stands_and_a_second_is_noted(store: Store, incident_id: int) -> None:
    digest = _ask(store, incident_id)
    assert store.incidents.get(incident_id).state is State.AWAITING_APPROVAL
    waiting = [STEPS[1].digest(incident_id)]

    def decide(decision: Decision) -> Decision | None:
        return store.approvals.decide(incident_id, digest, decision, "ada", "", waiting).decision

    with ThreadPoolExecutor(2) as pool:
        heard = set(pool.map(decide, [Decision.APPROVE, Decision.REFUSE]))
    assert len(heard) == 1
    outcome = {Decision.APPROVE: Outcome.APPROVED, Decision.REFUSE: Outcome.REFUSED}[heard.pop()]  # type: ignore[index]
    assert store.ledger.row(waiting[0]).state is outcome
    assert [e.entry for e in store.incidents.timeline(incident_id)].count("late-answer") == 1


def test_a_new_triage_asks_again_whatever_was_decided_before(store: Store, incident_id: int) -> None:
    digest = _ask(store, incident_id)
    waiting = STEPS[1].digest(incident_id)
    store.approvals.decide(incident_id, digest, Decision.REFUSE, "ada", "", [waiting])
    assert store.ledger.row(waiting).state is Outcome.REFUSED
    stricter = [STEPS[0].model_copy(update={"approval": "one"}), STEPS[1]]
    store.ledger.replan(incident_id, stricter)
    rows = store.ledger.enter(incident_id, stricter)
    assert [(row.state, row.approval) for row in rows] == [(Outcome.PLANNED, "one")] * 2
    assert plan_digest(incident_id, stricter, 1) != plan_digest(incident_id, stricter)
    assert store.approvals.of_plan(incident_id, plan_digest(incident_id, stricter, 1)) is None


def test_a_clock_set_back_does_not_keep_a_lease_for_ever(store: Store, clock: Clock) -> None:
    assert acquire(store._db, "work", "before")
    clock.forward(-3600)
    assert acquire(store._db, "work", "after")


def test_an_answer_after_expiry_counts_as_expired(store: Store, clock: Clock, incident_id: int) -> None:
    digest = _ask(store, incident_id)
    clock.forward(31 * 60)
    asked = store.approvals.decide(incident_id, digest, Decision.APPROVE, "ada", "go", [STEPS[1].digest(incident_id)])
    assert asked.decision is Decision.EXPIRED
    assert store.ledger.row(STEPS[1].digest(incident_id)).state is Outcome.REFUSED


def test_asking_again_by_another_run_keeps_the_first_expiry(store: Store, clock: Clock, incident_id: int) -> None:
    digest = _ask(store, incident_id)
    clock.forward(60)
    asked = store.approvals.ask(incident_id, digest, "run-2", store.now + timedelta(minutes=30))
    assert asked.runs == ["run-1", "run-2"]
    assert asked.expires_at == store.now + timedelta(minutes=29)


def test_a_hold_of_one_incident_outlives_the_release_of_another(store: Store, incident_id: int) -> None:
    other = store.report(Batch(findings=[finding("r7", actor="eve")]), "guard").opened[0][0]
    for incident in (incident_id, other):
        assert store.holds.add("stop-workflow", "answer-tickets", "answer-tickets", incident, "test")
        assert not store.holds.add("stop-workflow", "answer-tickets", "answer-tickets", incident, "test")
    assert store.holds.lift("stop-workflow", "answer-tickets", "answer-tickets", incident_id, "test")
    assert [h.incident_id for h in store.standing("answer-tickets", "bob", None)] == [other]
    assert not store.holds.lift("stop-workflow", "answer-tickets", "answer-tickets", incident_id, "test")


def test_one_wakeup_is_outstanding_until_it_is_answered_or_stale(store: Store, clock: Clock) -> None:
    assert [store.health.wake("opened/high") for _ in range(3)] == [True, False, False]
    assert store.health.wake("opened/critical")
    store.health.awake("opened")
    assert store.health.wake("opened/high")
    clock.forward(31)
    assert store.health.wake("opened/high")


def test_three_missed_intervals_make_a_flow_overdue(store: Store, clock: Clock) -> None:
    store.health.expect("reconcile", 20)
    store.health.beat("scan-logs/firebreak", 20, "run")
    clock.forward(60)
    assert store.overdue() == []
    clock.forward(1)
    assert [o.name for o in store.overdue()] == ["reconcile", "scan-logs/firebreak"]
    store.health.beat("reconcile", 20)
    store.health.expect("reconcile", 20)
    assert [o.name for o in store.health.silent(prefix="scan-logs/")] == ["scan-logs/firebreak"]
    assert [o.name for o in store.overdue()] == ["scan-logs/firebreak"]
