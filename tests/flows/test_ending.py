"""Containment that ends by itself: in the ledger, for each incident by its own time, and never back by itself."""

import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firebreak.blocks.action import Action, Probe, held_by_others
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.store import Batch, Incident, State, Store
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.detectors.findings import ActorType
from firebreak.flows import ending, gaps
from firebreak.flows.ending import end_expired, in_words, with_end
from firebreak.flows.executor import execute
from firebreak.flows.policy import PolicyError, parse_policy
from tests.stores import Clock, finding

NO_RUNS: Any = None
ACTIONS: dict[str, Action] = {"quarantine-actor": QuarantineActor(), "notify-team": NotifyTeam()}


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ending, gaps):
        monkeypatch.setattr(module, "load_action", ACTIONS.__getitem__)
    monkeypatch.setattr(ending, "publish", lambda store, number: None)


def contained(store: Store, record: str, *ends: int | None) -> int:
    """A contained incident that quarantines mallory, once for each end."""
    workflow_alone: dict[str, Any] = {"actor_type": ActorType.WORKFLOW, "actor": f"w-{record}", "token_id": None}
    number = store.report(Batch(findings=[finding(record, **workflow_alone)]), "guard").opened[0][0]
    hold(store, number, *ends)
    for state in (State.TRIAGED, State.RESPONDING, State.CONTAINED):
        store.incidents.move(number, state, "test")
    return number


def hold(store: Store, number: int, *ends: int | None) -> list[Row]:
    parameters = {"kind": "user", "workflow": "answer-tickets"}
    step = Step(action="quarantine-actor", target="mallory", parameters=parameters, title="Hold mallory")
    steps = [step.model_copy(update={"expires_after": end}) for end in ends]
    store.ledger.replan(number, steps)
    with store.lease(f"incident:{number}", "test") as lease:
        assert lease
        execute(store, store.incidents.get(number), store.ledger.enter(number, steps), ACTIONS.__getitem__, lease)
    return store.ledger.rows(number)


def held(store: Store) -> set[int]:
    return {one.incident_id for one in store.standing("answer-tickets", "mallory", None)}


def test_a_quarantine_ends_in_the_ledger_and_is_not_asserted_again(store: Store, clock: Clock) -> None:
    number = contained(store, "r1", 3600)
    clock.forward(3599)
    assert end_expired(store, NO_RUNS) == []
    assert held(store) == {number}
    clock.forward(1)
    assert gaps.reassert(store, NO_RUNS) == []
    assert end_expired(store, NO_RUNS) == [f"incident {number}: Hold mallory: its time is over: undone"]
    assert held(store) == set()
    row, undo = store.ledger.rows(number)
    assert (row.state, undo.state, undo.undo_of, undo.attempts) == (Outcome.UNDONE, Outcome.SUCCEEDED, row.digest, 1)
    assert store.incidents.get(number).state is State.NEEDS_PERSON  # `contained` would not be true any more
    clock.forward(31)
    assert (end_expired(store, NO_RUNS), gaps.reassert(store, NO_RUNS), held(store)) == ([], [], set())


def test_what_should_stand_is_asserted_until_its_end(store: Store, clock: Clock) -> None:
    number = contained(store, "r1", 3600)
    store.holds.lift("quarantine-user", "mallory", "answer-tickets", number, "somebody")
    assert len(gaps.reassert(store, NO_RUNS)) == 1
    clock.forward(3600)
    store.holds.lift("quarantine-user", "mallory", "answer-tickets", number, "somebody")
    assert (gaps.reassert(store, NO_RUNS), held(store)) == ([], set())
    assert len(end_expired(store, NO_RUNS)) == 1  # found undone already: the ledger says so


def test_triaged_again_with_another_end_the_later_one_holds(store: Store, clock: Clock) -> None:
    number = contained(store, "r1", 60, 600)
    clock.forward(60)
    assert end_expired(store, NO_RUNS) == []
    clock.forward(540)
    assert len(end_expired(store, NO_RUNS)) == 2
    assert held(store) == set()
    assert store.incidents.get(number).state is State.NEEDS_PERSON


def test_done_again_its_time_begins_anew(store: Store, clock: Clock) -> None:
    number = contained(store, "r1", 60)
    clock.forward(60)
    end_expired(store, NO_RUNS)
    hold(store, number, 60)
    clock.forward(59)
    assert (end_expired(store, NO_RUNS), held(store)) == ([], {number})
    clock.forward(1)
    assert len(end_expired(store, NO_RUNS)) == 1
    assert held(store) == set()


def test_nobody_works_on_an_incident_that_somebody_has(store: Store, clock: Clock) -> None:
    number = contained(store, "r1", 60)
    clock.forward(60)
    with store.lease(f"incident:{number}", "a release"):
        assert end_expired(store, NO_RUNS) == []
    assert len(end_expired(store, NO_RUNS)) == 1


def test_an_end_that_can_not_be_verified_is_said_and_tried_again_later(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = contained(store, "r1", 60)
    clock.forward(60)
    with monkeypatch.context() as patch:
        patch.setattr(QuarantineActor, "undo", lambda *_: None)
        (said,) = end_expired(store, NO_RUNS)
        assert "failed" in said
        assert end_expired(store, NO_RUNS) == []  # not at every look
        assert store.incidents.get(number).state is State.CONTAINED
    clock.forward(31)
    assert gaps.reassert(store, NO_RUNS) == []
    assert len(end_expired(store, NO_RUNS)) == 1
    assert held(store) == set()


def test_a_killed_undo_is_finished(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    contained(store, "r1", 60)
    clock.forward(60)
    with monkeypatch.context() as patch:
        patch.setattr(QuarantineActor, "undo", die)
        with pytest.raises(Killed):
            end_expired(store, NO_RUNS)
    clock.forward(31)
    assert len(end_expired(store, NO_RUNS)) == 1
    assert held(store) == set()


def test_an_end_is_part_of_what_is_approved(store: Store) -> None:
    step = Step(action="quarantine-actor", target="mallory", title="Hold")
    ends = [None, 60, 3600]
    assert len({step.model_copy(update={"expires_after": end}).digest(1) for end in ends}) == len(ends)


def test_what_can_not_be_undone_has_no_end_and_that_is_said(store: Store) -> None:
    number = contained(store, "r1", 60)
    incident = store.incidents.get(number)
    message = Step(action="notify-team", target="log", title="Tell")
    assert with_end(store, incident, message, 60).expires_after is None
    assert [e.detail["why"] for e in store.incidents.timeline(number) if e.entry == "never-expires"] == [
        "it can't be undone"
    ]
    hold = message.model_copy(update={"action": "quarantine-actor", "title": "Hold"})
    assert with_end(store, incident, hold, 86_400).title == "Hold, for 1d"


POLICY = """
version: 1
playbooks:
  - {{name: x, description: y, steps: [{{action: quarantine-actor, expires_after: {0}}}]}}
"""


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("24h", 86_400), ("7d", 604_800)])
def test_durations(text: str, seconds: int) -> None:
    (playbook,) = parse_policy(POLICY.format(text), "policy").playbooks
    assert playbook.steps[0].expires_after == seconds
    assert parse_policy(POLICY.format(in_words(seconds)), "policy").playbooks[0].steps[0].expires_after == seconds


@pytest.mark.parametrize("text", ["24", "0h", "1h30m", "-1h", "soon", "1.5h", "[1h]"])
def test_no_durations(text: str) -> None:
    with pytest.raises(PolicyError, match="write a duration as 30m, 24h or 7d"):
        parse_policy(POLICY.format(text), "policy")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ends=st.lists(st.none() | st.integers(1, 5).map(lambda minutes: 60 * minutes), min_size=1, max_size=4),
    jumps=st.lists(st.integers(-60, 200), min_size=1, max_size=5),
)
def test_each_incident_holds_until_its_own_end_and_never_again(ends: list[int | None], jumps: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        store = Store(f"sqlite:///{folder}/store.db", clock)
        begun, over = clock.now, set[int]()
        numbers = [contained(store, f"r{n}", end) for n, end in enumerate(ends)]
        for jump in jumps:
            clock.forward(jump)
            for _ in range(2):  # a look that comes a second time changes nothing
                gaps.reassert(store, NO_RUNS)
                end_expired(store, NO_RUNS)
            spent = (clock.now - begun).total_seconds()
            over |= {number for number, end in zip(numbers, ends, strict=True) if end is not None and end <= spent}
            assert held(store) == set(numbers) - over
        connect(f"sqlite:///{folder}/store.db").dispose()


class Valve(Action):
    """An effect that two incidents may want: closed or not."""

    _block_type_slug = "valve"
    closed: bool = False

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step:
        return Step(action="valve", target="main", title="Close the valve")

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        return Probe(done=self.closed)

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        return {"closed": self.closed}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        self.closed = True

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        if not held_by_others(store, incident, step):
            self.closed = former.get("closed", True)

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        wanted = bool(held_by_others(store, incident, step)) or former.get("closed", True)
        return Probe(done=self.closed is wanted)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_two_incidents_hold_stays_for_the_one_and_is_given_back_with_the_last(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    valve = Valve()
    monkeypatch.setitem(ACTIONS, "valve", valve)
    ends = {order[0]: 60, order[1]: 600}
    for n in (0, 1):
        number = contained(store, f"r{n}", None)
        step = valve.plan(store, store.incidents.get(number), {}).model_copy(update={"expires_after": ends[n]})
        with store.lease(f"incident:{number}", "test") as lease:
            assert lease
            execute(store, store.incidents.get(number), store.ledger.enter(number, [step]), lambda _: valve, lease)
    clock.forward(60)
    assert len(end_expired(store, NO_RUNS)) == 1
    assert valve.closed
    clock.forward(540)
    assert len(end_expired(store, NO_RUNS)) == 1
    assert not valve.closed
