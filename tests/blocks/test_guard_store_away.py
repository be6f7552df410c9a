"""The guard while its store is away, and what it says about silent flows."""

import logging
from pathlib import Path
from typing import Literal

import pytest

from firebreak.blocks.guard import ActorQuarantined, StoreAway, WorkflowStopped
from firebreak.blocks.store import Batch, State, StoreUnavailable
from tests.blocks.guarding import ATTACK, WORKFLOW, Bench
from tests.stores import finding

Policy = Literal["open", "closed"]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "firebreak.guard" and r.levelno >= logging.WARNING]


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_the_last_known_state_holds_for_a_minute(tmp_path: Path, policy: Policy) -> None:
    bench = Bench(tmp_path, when_store_away=policy)
    number = bench.store.report(Batch(findings=[finding("earlier", actor="eve")]), "scan-logs").opened[0][0]
    bench.store.holds.add("stop-workflow", "stopped", "stopped", number, "approved")
    bench.ask()
    with bench.away():
        bench.clock.forward(59)
        bench.ask()
        bench.ask(user="never-seen-before")
        with pytest.raises(ActorQuarantined):
            bench.ask(user="eve")
        with pytest.raises(WorkflowStopped):
            bench.ask(workflow="stopped")


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_after_a_minute_what_stood_still_stands_and_the_rest_follows_the_policy(
    tmp_path: Path, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, when_store_away=policy)
    number = bench.store.report(Batch(findings=[finding("earlier", actor="eve")]), "scan-logs").opened[0][0]
    bench.store.holds.add("stop-workflow", "stopped", "stopped", number, "approved")
    bench.ask()
    with bench.away():
        for _ in range(3):
            bench.clock.forward(61)
            with pytest.raises(WorkflowStopped):
                bench.ask(workflow="stopped")
            with pytest.raises(ActorQuarantined):
                bench.ask(user="eve")
            if policy == "open":
                assert bench.ask() == "Where is my invoice?"
            else:
                with pytest.raises(StoreAway, match="Bring the store back, or set when_store_away"):
                    bench.ask()
    bench.clock.forward(2)
    bench.ask()
    away, decided, back = warnings(caplog)  # one line each, however many calls
    assert "unable to open database file; the last known state holds for 60 s" in away
    assert ("go on" if policy == "open" else "are refused") in decided
    assert back == "guard: the incident store is back"


def test_a_new_process_that_never_reached_the_store_follows_the_policy(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.forget()
    with bench.away(), pytest.raises(StoreAway):
        bench.ask()
    (record,) = bench.records()
    assert str(record.error).startswith("refused: the incident store is away")


def test_what_was_found_meanwhile_is_written_when_the_store_is_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for user in ("ada", "grace"):
        bench.suspect(user)
    bench.ask()
    with bench.away():
        bench.ask(ATTACK)
        bench.clock.forward(2)
        bench.ask(ATTACK, user="grace")
    assert bench.findings() == 2  # what spoke against them before
    bench.clock.forward(10)
    bench.ask(user="linus")
    assert {incident.actor for incident in bench.store.incidents.in_states(*State)} == {"ada", "grace"}
    for user in ("ada", "grace"):
        with pytest.raises(ActorQuarantined):
            bench.ask(user=user)


def test_an_away_store_is_asked_once_a_second_at_most(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ask()
    with bench.away():
        bench.ask()
    bench.ask(ATTACK)  # back, but within the second: still the last known state
    assert bench.findings() == 0
    bench.clock.forward(6)
    bench.ask(user="grace")
    assert bench.findings() > 0


def test_the_canary_is_remembered_and_never_made_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    canary = bench.guard.canary(WORKFLOW)
    with bench.away():
        assert bench.guard.canary(WORKFLOW) == canary
        with pytest.raises(StoreUnavailable):
            bench.guard.canary("another")


def test_a_silent_flow_is_spoken_of_once_a_minute_and_becomes_an_incident(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    bench.store.health.beat("scan-logs", 60)
    for _ in range(14):
        bench.ask()
        bench.clock.forward(20)
    # the third interval ends after 180 s; calls at 200, 220, 240 and 260 s see it
    assert [line for line in warnings(caplog) if "scan-logs has missed three" in line] == warnings(caplog)
    assert len(warnings(caplog)) == 1
    bench.clock.forward(60)
    bench.ask()
    assert len(warnings(caplog)) == 2
    (incident,) = bench.store.incidents.in_states(*State)
    assert (incident.workflow, incident.findings) == ("firebreak", 1)
