"""`reconcile` and retrainings: what was lost is started again, what ended without a word is said."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

from firebreak.blocks.store import Batch, Retraining, RetrainingState, State, Store
from firebreak.detectors.findings import ActorType, Severity
from firebreak.flows.retraining_gaps import restart_retrainings
from firebreak.flows.runs import Runs
from tests.stores import Clock, finding


class Noted(Runs):
    """Runs that are only written down."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Any]] = []

    def read(self, run_id: str | None) -> FlowRun | None:
        return None

    def start(self, flow: str, parameters: dict[str, Any] | None = None) -> str:
        self.started.append((flow, parameters))
        return f"run-{len(self.started)}"


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    return Store(f"sqlite:///{tmp_path}/store.db", clock)


def asked(store: Store, *states: State) -> Retraining:
    about: dict[str, Any] = {"kind": "drift", "actor": "tickets", "actor_type": ActorType.DATASET}
    one = finding("w1", **about, severity=Severity.MEDIUM, token_id=None)
    number = store.report(Batch(findings=[one]), "scan-drift").opened[0][0]
    for state in states or (State.TRIAGED, State.RESPONDING, State.CONTAINED):
        store.incidents.move(number, state, "test")
    return store.retrainings.request(number, "tickets", "key", {"round": 0})


def test_a_request_nobody_took_gets_one_run(store: Store, clock: Clock) -> None:
    runs, one = Noted(), asked(store)
    assert restart_retrainings(store, runs) == []
    clock.forward(21)
    assert len(restart_retrainings(store, runs)) == 1
    clock.forward(21)
    assert restart_retrainings(store, runs) == []  # not twice in 30 s
    assert runs.started == [("retrain", {"incident_id": one.incident_id})]
    assert store.retrainings.get(one.id).run_id == "run-1"
    clock.forward(31)
    assert len(restart_retrainings(store, runs)) == 1


@pytest.mark.parametrize("states", [(State.TRIAGED,), (State.TRIAGED, State.RESPONDING), (State.NEEDS_PERSON,)])
def test_it_waits_for_the_incidents_own_plan(store: Store, clock: Clock, states: tuple[State, ...]) -> None:
    asked(store, *states)
    clock.forward(100)
    runs = Noted()
    assert restart_retrainings(store, runs) == []
    assert runs.started == []


def test_work_that_somebody_holds_is_left_alone(store: Store, clock: Clock) -> None:
    asked(store)
    clock.forward(100)
    with store.lease("retraining:tickets", "a living run"):
        assert restart_retrainings(store, Noted()) == []


@pytest.mark.parametrize(
    ("last", "columns", "detail", "ending"),
    [
        (State.RESOLVED, {}, {}, RetrainingState.WITHDRAWN),
        (State.TRIAGED, {"triage": {"retraining": 1}}, {}, RetrainingState.HANDED_OVER),
        (State.NEEDS_PERSON, {}, {"ending": "refused"}, RetrainingState.REFUSED),
    ],
)
def test_an_end_that_was_not_written_down_is(
    store: Store, clock: Clock, last: State, columns: Any, detail: Any, ending: RetrainingState
) -> None:
    one = asked(store)
    store.incidents.move(one.incident_id, last, "test", **columns)
    store.retrainings.set(one.id, state=RetrainingState.RUNNING, detail=detail)
    clock.forward(21)
    runs = Noted()
    assert len(restart_retrainings(store, runs)) == 1
    assert (store.retrainings.get(one.id).state, runs.started) == (ending, [])
