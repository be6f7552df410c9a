"""A promotion and its incident: a finding that comes in between, and an incident that is triaged again."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from firebreak.blocks.store import Batch, Retraining, State
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.detectors.findings import ActorType, Severity
from firebreak.flows.planning import rows_of
from firebreak.flows.promotion import unfinished_promotion
from tests.flows.retraining_bench import DATASET, Bench, carried_out, untouched
from tests.stores import finding


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path).furnish()
    yield made
    connect(f"sqlite:///{tmp_path}/store.db").dispose()


def another_cause(bench: Bench, asked: Retraining) -> None:
    """The next window's finding says that the model is to blame."""
    about: dict[str, Any] = {"kind": "drift", "actor": DATASET, "actor_type": ActorType.DATASET}
    one = finding("next", **about, severity=Severity.MEDIUM, token_id=None, origin=None)
    bench.store.report(Batch(findings=[one.model_copy(update={"cause": "model"})]), "scan-drift")
    assert bench.store.incidents.get(asked.incident_id).state is State.OPEN


def triaged_anew(bench: Bench, asked: Retraining) -> None:
    incident = bench.store.incidents.get(asked.incident_id)
    step = Step(action="roll-back-model", target="router", title="Roll back").model_dump(mode="json")
    assert bench.store.incidents.conclude(incident, {"steps": [step], "cause": "model", "plan_digest": "d"})


@pytest.mark.parametrize("passes", [True, False])
def test_a_finding_that_comes_during_the_hand_over_is_triaged_and_not_overwritten(
    bench: Bench, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = bench.ask()
    if not passes:
        bench.rules = bench.rules.model_copy(update={"minimum_records": 500})
    told = list[str]()

    def late(incident_id: int, to: State, by: str, **more: Any) -> None:
        if not told:
            told.append("once")
            another_cause(bench, asked)
        move(incident_id, to, by, **more)

    move = bench.store.incidents.move
    monkeypatch.setattr(bench.store.incidents, "move", late)
    assert "waits: incident 1 is open, not contained" in bench.run(asked)
    incident = bench.store.incidents.get(asked.incident_id)
    assert (incident.state, incident.cause) == (State.OPEN, "model")
    assert bench.store.retrainings.get(asked.id).open
    triaged_anew(bench, asked)
    assert bench.run(asked) == f"retraining {asked.id} is withdrawn: the incident's plan is another one now"
    assert (bench.store.incidents.get(asked.incident_id).triage or {})["cause"] == "model"
    untouched(bench)


Change = Callable[[Bench, int], None]


def expired(bench: Bench, incident_id: int) -> None:
    decided(bench, incident_id, Decision.EXPIRED)


def refused(bench: Bench, incident_id: int) -> None:
    decided(bench, incident_id, Decision.REFUSE)


def half_way(bench: Bench, incident_id: int) -> None:
    """Promoted; the reference could not be renewed."""
    assert bench.dataset.spec
    text = bench.dataset.spec.read_text()
    bench.dataset.spec.write_text(text.replace("minimum_sample: 20", "minimum_sample: 5000"))
    assert carried_out(bench, incident_id, approve=True) == [Outcome.SUCCEEDED, Outcome.FAILED]
    bench.dataset.spec.write_text(text)


def rolled_back(bench: Bench, incident_id: int) -> None:
    half_way(bench, incident_id)
    bench.registry.set_champion("1", "2")


def all_through(bench: Bench, incident_id: int) -> None:
    carried_out(bench, incident_id, approve=True)


def overtaken(bench: Bench, incident_id: int) -> None:
    expired(bench, incident_id)
    model = bench.registry.load_model(bench.registry.get("2"))
    bench.registry.register(model, parameters={}, metrics={}, tags={}, report=None)
    bench.registry.set_champion("3", "1")


def other_cause(bench: Bench, incident_id: int) -> None:
    expired(bench, incident_id)
    bench.store.incidents.set(incident_id, cause="model")


def decided(bench: Bench, incident_id: int, decision: Decision) -> None:
    store = bench.store
    incident = store.incidents.get(incident_id)
    digest, rows = rows_of(store, incident, [Step(**step) for step in (incident.triage or {})["steps"]])
    store.incidents.move(incident_id, State.RESPONDING, "respond")
    store.approvals.ask(incident_id, digest, "run", store.now + timedelta(minutes=5))
    store.approvals.decide(incident_id, digest, decision, "ada", "", [row.digest for row in rows])


@pytest.mark.parametrize(
    ("change", "goes_on"),
    [
        (expired, True),
        (half_way, True),
        (rolled_back, False),
        (refused, False),
        (all_through, False),
        (overtaken, False),
        (other_cause, False),
    ],
)
def test_triaged_again_a_promotion_that_is_not_through_goes_on(bench: Bench, change: Change, goes_on: bool) -> None:
    asked = bench.ask()
    assert unfinished_promotion(bench.store, bench.store.incidents.get(asked.incident_id), bench.action) is None
    bench.run(asked)
    planned = (bench.store.incidents.get(asked.incident_id).triage or {})["steps"]
    change(bench, asked.incident_id)
    found = unfinished_promotion(bench.store, bench.store.incidents.get(asked.incident_id), bench.action)
    assert (found is not None) is goes_on
    if found:
        retraining, steps = found
        assert (retraining.id, [step.model_dump(mode="json") for step in steps]) == (asked.id, planned)
