"""Draining the store: nothing holds up the rest, nothing is missed, and few are woken for it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from firebreak.blocks.events import Event, signal_opened
from firebreak.blocks.store import Batch, Incident, Report, State, Store
from firebreak.detectors.findings import Severity
from firebreak.flows.asking import ASKED_AT_ONCE, FOR_CRITICAL, TURN, due
from firebreak.flows.draining import LANES, drain
from tests.stores import Clock, finding
from tests.waiting import until

TOPIC = Event.INCIDENT_OPENED


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The incidents that signals were sent about."""
    about: list[int] = []
    monkeypatch.setattr("firebreak.blocks.events.send", lambda event, number, **payload: about.append(number))
    return about


def opened(store: Store, actor: str, severity: Severity = Severity.HIGH) -> int:
    report = store.report(Batch(findings=[finding(actor, actor=actor, severity=severity)]), "guard")
    signal_opened(store, report)
    return report.opened[0][0]


def waiting(store: Store) -> list[Incident]:
    return store.incidents.in_states(State.OPEN)


def triaged(store: Store, incident: Incident) -> bool:
    store.incidents.move(incident.id, State.TRIAGED, "test")
    return True


def test_a_storm_sends_one_signal_and_none_while_a_run_is_at_work(store: Store, sent: list[int]) -> None:
    first = opened(store, "a0")
    for n in range(1, 20):
        opened(store, f"a{n}")
    assert sent == [first]
    critical = opened(store, "worst", Severity.CRITICAL)
    assert sent == [first, critical]
    store.health.awake(TOPIC)
    store.health.working(TOPIC)
    opened(store, "later")
    assert sent == [first, critical]
    assert drain(store, TOPIC, lambda: waiting(store), lambda one: triaged(store, one)) == 22
    afterwards = opened(store, "afterwards")
    assert sent[2:] == [afterwards]


def test_a_dead_drain_silences_nobody_for_long(store: Store, clock: Clock, sent: list[int]) -> None:
    store.health.working(TOPIC)
    opened(store, "a1")
    clock.forward(11)
    assert sent == [opened(store, "a2")]


def test_stuck_ones_hold_up_no_critical_one_and_one_of_them_holds_up_nothing(store: Store) -> None:
    stuck = {opened(store, f"stuck-{n}") for n in range(LANES)}
    hung, free = threading.Semaphore(0), threading.Event()

    def work(one: Incident) -> bool:
        if one.id in stuck:
            hung.release()
            assert free.wait(30)
        return triaged(store, one)

    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(drain, store, TOPIC, lambda: waiting(store), work)
        try:
            assert all(hung.acquire(timeout=20) for _ in stuck)
            other = opened(store, "other")
            critical = opened(store, "worst", Severity.CRITICAL)
            until(lambda: store.incidents.get(critical).state is State.TRIAGED, 20, "the critical one")
            assert store.incidents.get(other).state is State.OPEN  # all ordinary lanes are taken
        finally:
            free.set()
        assert drained.result(30) == LANES + 2
    assert waiting(store) == []


def test_one_that_fails_is_left_and_the_rest_are_taken(store: Store) -> None:
    bad, *good = (opened(store, f"a{n}") for n in range(4))
    tried: list[int] = []

    def work(one: Incident) -> bool:
        tried.append(one.id)
        return one.id != bad and triaged(store, one)

    assert drain(store, TOPIC, lambda: waiting(store), work) == 4
    assert sorted(tried) == sorted([bad, *good])
    assert [one.id for one in waiting(store)] == [bad]


def test_what_comes_in_the_last_moment_unsignalled_is_taken(store: Store, sent: list[int]) -> None:
    late: list[int] = []

    def looked() -> list[Incident]:
        found = waiting(store)
        if not found and not late:
            late.append(opened(store, "late"))  # the drain has looked already, and still counts as at work
            assert sent == []
        return found

    assert drain(store, TOPIC, looked, lambda one: triaged(store, one)) == 1
    assert [store.incidents.get(number).state for number in late] == [State.TRIAGED]


def test_a_reopened_incident_wakes_like_a_new_one(store: Store, sent: list[int]) -> None:
    number = opened(store, "mallory")
    store.incidents.move(number, State.RESOLVED, "ada")
    store.health.awake(TOPIC)
    report: Report = store.report(Batch(findings=[finding("again", actor="mallory")]), "guard")
    signal_opened(store, report)
    assert sent == [number, number]


def test_people_are_asked_about_a_few_at_a_time_and_about_critical_ones_first(store: Store) -> None:
    for n in range(ASKED_AT_ONCE - 1):
        number = opened(store, f"asked-{n}")
        for state in (State.TRIAGED, State.RESPONDING, State.AWAITING_APPROVAL):
            store.incidents.move(number, state, "test")
    plan = {"steps": [{}], TURN: True}
    high, _ = (planned(store, f"high-{n}", plan) for n in range(2))
    assert [one.id for one in due(store)] == [high]  # room for one
    critical = [planned(store, f"critical-{n}", plan, Severity.CRITICAL) for n in range(FOR_CRITICAL + 2)]
    assert [one.id for one in due(store)] == critical[: FOR_CRITICAL + 1]
    fresh = planned(store, "fresh", {"steps": [{}]})  # what it may do by itself has not been done yet
    assert [one.id for one in due(store)] == [*critical[: FOR_CRITICAL + 1], fresh]


def planned(store: Store, actor: str, triage: dict[str, object], severity: Severity = Severity.HIGH) -> int:
    number = opened(store, actor, severity)
    store.incidents.move(number, State.TRIAGED, "test", triage=triage)
    return number
