"""`reconcile` and retrainings: what was lost is started again, what ended without a word is said."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.objects import FlowRun

from firebreak.blocks.store import Batch, Retraining, RetrainingState, State, Store
from firebreak.blocks.store.ledger import Step
from firebreak.detectors.findings import ActorType, Severity
from firebreak.flows.retraining_gaps import restart_retrainings
from firebreak.flows.runs import OURS, Runs
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
    step = Step(action="start-retraining", target="tickets", title="Start retraining")
    for state in states or (State.TRIAGED, State.RESPONDING, State.CONTAINED):
        store.incidents.move(number, state, "test")
    store.incidents.set(number, triage={"steps": [step.model_dump(mode="json")]})
    return store.retrainings.request(number, "tickets", step.digest(number), {"round": 0})


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


def test_every_flow_that_prefect_runs_for_us_is_ours() -> None:
    entries = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())["deployments"]
    flows = {entry["entrypoint"].rpartition(".")[2].replace("_", "-") for entry in entries}
    assert {*OURS} == flows - {"answer-tickets"}


def test_work_that_somebody_holds_is_left_alone(store: Store, clock: Clock) -> None:
    asked(store)
    clock.forward(100)
    with store.lease("retraining:tickets", "a living run"):
        assert restart_retrainings(store, Noted()) == []


def test_while_another_has_the_incident_its_retraining_is_left_alone(store: Store, clock: Clock) -> None:
    one = asked(store)
    store.incidents.set(one.incident_id, triage={"steps": []})
    clock.forward(21)
    with store.lease(f"incident:{one.incident_id}", "triage"):
        assert restart_retrainings(store, Noted()) == []
    assert restart_retrainings(store, Noted()) != []
    told = [e.detail.get("why") for e in store.incidents.timeline(one.incident_id) if e.entry == "retraining-given-up"]
    assert told == ["the incident's plan is another one now"]


@pytest.mark.parametrize(
    ("last", "columns", "detail", "ending"),
    [
        (State.RESOLVED, {}, {}, RetrainingState.WITHDRAWN),
        (State.TRIAGED, {"triage": {"retraining": 1}}, {}, RetrainingState.HANDED_OVER),
        (State.NEEDS_PERSON, {}, {"ending": "refused"}, RetrainingState.REFUSED),
        (State.TRIAGED, {"triage": {"steps": []}}, {}, RetrainingState.WITHDRAWN),
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
