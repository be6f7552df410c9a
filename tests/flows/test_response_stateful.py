"""Whatever crashes, comes twice or moves the clock: the ledger and the incidents never say what isn't so."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from firebreak.blocks.action import Action
from firebreak.blocks.store import Batch, Incident, Lease, LeaseLost, PlanChanged, State, Store
from firebreak.blocks.store.approvals import Answer, Decision
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.ledger import Approval, OnFailure, Outcome, Row, Step, plan_digest
from firebreak.blocks.store.states import CLOSED, TRANSITIONS
from firebreak.detectors.findings import Severity
from firebreak.flows.executor import Result, execute, failed_before, take_back, undo_of
from firebreak.flows.planning import rows_of, settle_incident
from tests.flows.mortal import Crash, Deed, Message, Mortal, World
from tests.stores import Clock, finding

RETRIES = 3
TRIAGEABLE = (State.OPEN, State.NEEDS_PERSON)
ANSWERABLE = (State.TRIAGED, State.RESPONDING, State.AWAITING_APPROVAL, State.CONTAINED)
RELEASABLE = (State.RESPONDING, State.AWAITING_APPROVAL, State.CONTAINED, State.NEEDS_PERSON)
numbers = itertools.count()


ACTIONS: dict[str, Action] = {}
planned_steps = st.lists(
    st.tuples(st.sampled_from(["deed", "message"]), st.sampled_from("ab"), st.sampled_from(["auto", "auto", "one"])),
    min_size=1,
    max_size=3,
    unique_by=lambda step: step[:2],
)
incidents = st.integers(0, 1)
moods = st.sampled_from(["works", "works", "works", "blind", "refuses", "idle", "late"])
Trouble = tuple[int, str] | None  # after how many boundaries comes what
troubles = st.one_of(
    st.none(),
    st.tuples(st.integers(1, 50), st.sampled_from(["crash", "later", "earlier"])),
    st.tuples(st.integers(1, 2), st.just("crash after a deed")),
)


class Response(RuleBasedStateMachine):
    """Findings, triages, responders, people and releases, on one store and one target."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.clock, self.world = url, Clock(), World()
        self.store = Store(url, self.clock)
        self.actor, self.runs = f"actor-{next(numbers)}", itertools.count()
        self.numbers: list[int] = []
        self.decided: dict[int, tuple[Decision | None, str | None]] = {}
        Deed.world = self.world
        ACTIONS.update(deed=Deed(), message=Message())

    # What happens

    @initialize()
    def begin(self) -> None:
        self.find(Severity.HIGH, "x")

    @rule(severity=st.sampled_from([Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]), user=st.sampled_from("xy"))
    def find(self, severity: Severity, user: str) -> None:
        one = finding(f"record-{next(numbers)}", severity=severity, actor=f"{self.actor}-{user}")
        for number, _ in self.store.report(Batch(findings=[one]), "guard").opened:
            if number not in self.numbers:
                self.numbers.append(number)

    @precondition(lambda self: self.among(*TRIAGEABLE))
    @rule(which=incidents, steps=planned_steps, on_failure=st.sampled_from(["stop", "go-on", "undo"]), trouble=troubles)
    def triage(
        self, which: int, steps: list[tuple[str, str, Approval]], on_failure: OnFailure, trouble: Trouble
    ) -> None:
        def work(store: Store, incident: Incident, lease: Lease) -> None:
            if incident.state is State.NEEDS_PERSON:
                store.incidents.move(incident.id, State.OPEN, "a person")
            made = [Step(action=a, target=t, title=f"{a} {t}", approval=approval) for a, t, approval in steps]
            round = sum(entry.entry == State.TRIAGED for entry in store.incidents.timeline(incident.id))
            store.ledger.replan(incident.id, made)
            triage = {
                "steps": [step.model_dump(mode="json") for step in made],
                "on_failure": {"deed": on_failure, "message": on_failure},
                "round": round,
                "plan_digest": plan_digest(incident.id, made, round),
            }
            store.incidents.conclude(store.incidents.get(incident.id), triage)

        self.in_a_process(self.one_of(which, TRIAGEABLE), trouble, work)

    @precondition(lambda self: self.among(*ANSWERABLE))
    @rule(which=incidents, mood=moods, trouble=troubles)
    def respond(self, which: int, mood: str, trouble: Trouble) -> None:
        self.world.mood = mood

        def work(store: Store, incident: Incident, lease: Lease) -> None:
            assert incident.triage is not None
            if incident.state is not State.AWAITING_APPROVAL:
                store.incidents.move(incident.id, State.RESPONDING, "respond")
            try:
                self._carry_out(store, incident, incident.triage, lease)
            except PlanChanged:
                store.incidents.move(incident.id, State.NEEDS_PERSON, "respond")

        self.in_a_process(self.one_of(which, ANSWERABLE), trouble, work)

    def _carry_out(self, store: Store, incident: Incident, triage: dict[str, Any], lease: Lease) -> None:
        digest, rows = rows_of(store, incident, [Step(**step) for step in triage["steps"]])
        if failed := failed_before(store, incident.id, digest):
            result = Result(failed=failed)
        else:
            result = self._execute(store, incident, rows, triage["on_failure"], lease)
        if result.waiting:
            asked = store.approvals.ask(
                incident.id, digest, f"run-{next(self.runs)}", store.now + timedelta(minutes=30)
            )
            if asked.decision is None:
                return
            store.incidents.move(incident.id, State.RESPONDING, "respond")
            result = self._execute(store, incident, rows, triage["on_failure"], lease)
            assert result.waiting is None
        if result.failed and triage["on_failure"][result.failed.action] == "undo":
            take_back(store, incident, rows, ACTIONS.__getitem__, lease, result.failed, digest)
        if settle_incident(store, incident.id, digest, result) is State.CONTAINED:
            for row in map(store.ledger.row, [row.digest for row in rows]):
                assert row.state is not Outcome.SUCCEEDED or self.world.there[row.digest] == 1, row

    def _execute(
        self, store: Store, incident: Incident, rows: list[Row], on_failure: dict[str, OnFailure], lease: Lease
    ) -> Result:
        """As the task does it: what failed is tried again, what is unknown isn't."""
        for _ in range(RETRIES):
            result = execute(store, incident, rows, ACTIONS.__getitem__, lease, on_failure)
            if result.failed is None or result.failed.state is not Outcome.FAILED:
                break
        return result

    @precondition(lambda self: self.among(State.AWAITING_APPROVAL))
    @rule(
        which=incidents,
        decisions=st.lists(
            st.sampled_from(["approve", "refuse", Decision.EXPIRED, Decision.CANCELLED]), min_size=1, max_size=3
        ),
        source=st.integers(0, 3),
    )
    def answer(self, which: int, decisions: list[Any], source: int) -> None:
        """Several answers to the newest request, some of them by the same suspension."""
        number = self.one_of(which, [State.AWAITING_APPROVAL])
        plan = self.store.approvals.of_incident(number)[-1].plan_digest
        waiting = [row.digest for row in self.store.ledger.rows(number) if row.approval != "auto"]
        for decision in decisions:
            if isinstance(decision, Decision):
                self.store.approvals.decide(number, plan, decision, "firebreak", "", waiting)
            else:
                given = Answer(source=f"run/{source}", typed_at=self.clock(), decision=decision, name="Ada")
                self.store.approvals.answer(number, plan, given, waiting, "none")

    @precondition(lambda self: self.among(*RELEASABLE))
    @rule(
        which=incidents, verdict=st.sampled_from([State.RESOLVED, State.FALSE_POSITIVE]), mood=moods, trouble=troubles
    )
    def release(self, which: int, verdict: State, mood: str, trouble: Trouble) -> None:
        self.world.mood = mood

        def work(store: Store, incident: Incident, lease: Lease) -> None:
            rows = store.ledger.rows(incident.id)
            for asked in store.approvals.of_incident(incident.id):
                waiting = [row.digest for row in rows if row.approval != "auto"]
                store.approvals.decide(incident.id, asked.plan_digest, Decision.CANCELLED, "Ada", "", waiting)
            undoing = [
                undo_of(row)
                for row in reversed(rows)
                if not row.undo_of
                and ACTIONS[row.action].reversible
                and (
                    row.state is Outcome.SUCCEEDED
                    or (row.state in (Outcome.ATTEMPTED, Outcome.UNKNOWN, Outcome.FAILED) and row.attempts)
                )
            ]
            entered = store.ledger.enter(incident.id, undoing)
            if not execute(store, incident, entered, ACTIONS.__getitem__, lease).failed:
                for row in rows:
                    if not row.undo_of and ACTIONS[row.action].reversible:
                        assert self.world.there[row.digest] == (row.former or {}).get("there", 0), row
                store.incidents.move(incident.id, verdict, "Ada")

        self.in_a_process(self.one_of(which, RELEASABLE), trouble, work)

    @rule(seconds=st.sampled_from([-7200, -20, -1, 1, 16, 61, 3600]))
    def jump(self, seconds: int) -> None:
        self.clock.forward(seconds)

    def among(self, *states: State) -> list[int]:
        """The incidents in one of these states."""
        return [number for number in self.numbers if self.store.incidents.get(number).state in states]

    def one_of(self, which: int, states: Collection[State]) -> int:
        found = self.among(*states)
        return found[which % len(found)]

    def in_a_process(self, number: int, trouble: Trouble, work: Callable[[Store, Incident, Lease], None]) -> None:
        """A new process at work on an incident, if nobody is, into the middle of whose work the trouble comes."""
        self.world.settle()
        store, mortal = Store(self.url, self.clock), Mortal(connect(self.url), self.clock)
        mortal.world = self.world
        for part in (store, store.incidents, store.ledger, store.approvals, store.holds):
            part._db = mortal
        jumps = {"later": 20.0, "earlier": -20.0}
        self.world.left, what = trouble or (None, "")
        self.world.only_deeds = what == "crash after a deed"
        self.world.what = partial(self.clock.forward, jumps[what]) if what in jumps else self.world.crash
        with suppress(Crash, LeaseLost), store.lease(f"incident:{number}", f"process-{next(self.runs)}") as lease:
            if lease is not None:
                work(store, store.incidents.get(number), lease)
        if self.world.dead:
            self.clock.forward(16)  # its lease runs out, unless the clock is set back
        self.world.left, self.world.dead = None, False

    # What is always so

    @invariant()
    def nothing_is_there_twice_or_without_a_row_that_says_so(self) -> None:
        rows = {row.digest: row for number in self.numbers for row in self.store.ledger.rows(number)}
        for digest, times in self.world.there.items():
            assert times in (0, 1)
            if times:
                assert rows[digest].attempts > 0
                assert rows[digest].state in (Outcome.ATTEMPTED, Outcome.SUCCEEDED, Outcome.UNKNOWN), rows[digest]

    @invariant()
    def what_succeeded_was_seen(self) -> None:
        for number in self.numbers:
            for row in self.store.ledger.rows(number):
                assert row.state is not Outcome.SUCCEEDED or row.undo_of or row.digest in self.world.seen

    @invariant()
    def states_follow_the_table(self) -> None:
        for number in self.numbers:
            at = None
            for entry in self.store.incidents.timeline(number):
                if entry.entry in list(State) and (at is None or "from" in entry.detail):
                    assert at is None or (entry.detail["from"] == at and State(entry.entry) in TRANSITIONS[at])
                    at = State(entry.entry)
            assert at is self.store.incidents.get(number).state

    @invariant()
    def a_decision_stands(self) -> None:
        for number in self.numbers:
            for asked in self.store.approvals.of_incident(number):
                now = asked.decision, asked.decided_by
                before = self.decided.get(asked.id, (None, None))
                assert before[0] is None or before == now
                self.decided[asked.id] = now

    @invariant()
    def what_is_closed_holds_nobody(self) -> None:
        for number in self.numbers:
            if self.store.incidents.get(number).state in CLOSED:
                assert self.store.holds.of_incident(number) == []


@pytest.fixture
def url() -> Iterator[str]:
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    url = f"sqlite:///{folder}/store.db"
    yield url
    connect(url).dispose()
    shutil.rmtree(folder)


def test_nothing_is_said_that_is_not_so(url: str) -> None:
    class Here(Response):
        def __init__(self) -> None:
            super().__init__(url)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
