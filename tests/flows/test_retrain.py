"""A retraining from request to hand-over, on a real store and a real registry: refused, failed, killed, taken up."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from firebreak.blocks.retraining_rules import GateRules
from firebreak.blocks.store import Batch, RetrainingState, State
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.detectors.findings import Severity
from firebreak.flows.executor import execute
from firebreak.flows.planning import rows_of
from firebreak.flows.retraining import DATA
from firebreak.flows.retraining_attempt import TRIES
from firebreak.flows.retraining_errors import RetrainingFailed
from firebreak.flows.training_data import read_reference
from tests.flows.retraining_bench import DATASET, NEW, Bench, handed_over, record, untouched
from tests.stores import finding

TRAINERS = "tests.flows.retraining_bench."


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path).furnish()
    yield made
    connect(f"sqlite:///{tmp_path}/store.db").dispose()


def test_a_better_model_is_put_forward_and_the_incident_says_so(bench: Bench) -> None:
    asked, shown = bench.ask(), list[int]()
    said = bench.run(asked, show=lambda _, number: shown.append(number), signal=lambda i: shown.append(i.id))
    assert said == f"retraining {asked.id}: version 2 is put forward for promotion"
    handed_over(bench, asked.incident_id)
    assert shown == [asked.incident_id] * 2
    done = bench.store.retrainings.get(asked.id)
    assert (done.state, done.detail["version"]) == (RetrainingState.HANDED_OVER, "2")
    version = bench.registry.get("2")
    assert version.tags["firebreak.retraining"] == str(asked.id)
    assert version.metrics["candidate_accuracy_recent"] > version.metrics["champion_accuracy_recent"]
    (exhibit,) = [e for e in bench.store.incidents.evidence(asked.incident_id) if e.name == DATA]
    assert version.tags["firebreak.data_sha256"] == exhibit.sha256 == done.detail["data"]
    assert exhibit.body["rows"] == {"train": 112, "recent": 48, "reference": 40}
    assert "ticket 7" not in str(exhibit.body)
    assert bench.run(asked) == f"retraining {asked.id} is handed-over"


def carried_out(bench: Bench, incident_id: int, approve: bool) -> list[Outcome]:
    """What `respond` does with the plan once a person has decided."""
    store = bench.store
    incident = store.incidents.get(incident_id)
    steps = [Step(**step) for step in (incident.triage or {})["steps"]]
    digest, rows = rows_of(store, incident, steps)
    store.incidents.move(incident_id, State.RESPONDING, "respond")
    with store.lease(f"incident:{incident_id}", "respond") as lease:
        assert lease
        assert execute(store, incident, rows, bench.action, lease).waiting
        store.approvals.ask(incident_id, digest, "run", store.now + timedelta(minutes=5))
        decision = Decision.APPROVE if approve else Decision.REFUSE
        store.approvals.decide(incident_id, digest, decision, "ada", "", [r.digest for r in rows])
        execute(store, incident, rows, bench.action, lease)
    return [store.ledger.row(row.digest).state for row in rows]


def test_approved_it_serves_and_the_reference_is_what_it_would_have_said(bench: Bench) -> None:
    asked = bench.ask()
    bench.run(asked)
    assert carried_out(bench, asked.incident_id, approve=True) == [Outcome.SUCCEEDED] * 2
    assert bench.registry.champion_number() == "2"
    assert bench.reference_ids() == [f"r{n:04}" for n in range(160, 200)]
    now = bench.store.drift.reference(DATASET)
    assert now
    table = read_reference(now.parquet)
    assert list(table["router_label"]) == list(table["feedback"])  # the log has "bug" everywhere
    assert set(table["router_version"]) == {"2"}


def test_refused_by_a_person_neither_model_nor_reference_changes(bench: Bench) -> None:
    asked = bench.ask()
    bench.run(asked)
    assert carried_out(bench, asked.incident_id, approve=False) == [Outcome.REFUSED] * 2
    untouched(bench)


def test_the_next_retraining_is_not_tested_on_what_this_one_was_trained_on(bench: Bench) -> None:
    first = bench.ask()
    bench.run(first)
    carried_out(bench, first.incident_id, approve=True)
    for n in range(200, 260):
        bench.log.append(record(n, "billing" if n % 2 else "bug", NEW))
    bench.store.incidents.move(first.incident_id, State.RESOLVED, "ada")
    second = bench.ask()
    bench.run(second)
    learned, tested = (
        {r for name in names for r in e.body["ids"][name]}
        for one, names in ((first, ["train"]), (second, ["recent", "reference"]))
        for e in bench.store.incidents.evidence(one.incident_id)
        if e.name == DATA
    )
    assert not learned & tested


def ended(bench: Bench, asked_id: int, how: RetrainingState, why: str) -> None:
    done = bench.store.retrainings.get(asked_id)
    assert done.state is how
    assert why in str(done.detail["reasons"])
    assert bench.store.incidents.get(done.incident_id).state is State.NEEDS_PERSON
    (note,) = [e for e in bench.store.incidents.timeline(done.incident_id) if e.entry == f"no-new-model-{how}"]
    assert why in str(note.detail["reasons"])
    untouched(bench)
    assert len(bench.registry.versions()) == 1


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"trainer": TRAINERS + "train_backwards"}, "recent rows (48): "),
        ({"gate": GateRules(minimum_gain=0.9)}, "needed: more than +90.0%"),
        ({"minimum_records": 500}, "200 labelled records can be used, minimum_records is 500"),
        ({"trainer": "no.such.module.train"}, "can't be imported: ModuleNotFoundError"),
        ({"trainer": TRAINERS + "absent"}, "can't be imported: AttributeError"),
        ({"trainer": TRAINERS + "DATASET"}, "is a str, not a function"),
        ({"trainer": TRAINERS + "train_nothing"}, "gave back a str without predict()"),
    ],
)
def test_what_may_not_pass_is_refused_with_its_reason_and_a_person_is_asked(
    bench: Bench, rules: dict[str, Any], why: str
) -> None:
    bench.rules = bench.rules.model_copy(update=rules)
    asked = bench.ask()
    bench.run(asked)
    ended(bench, asked.id, RetrainingState.REFUSED, why)


def test_without_a_champion_there_is_nothing_to_compare_with(bench: Bench) -> None:
    bench.registry.set_champion(None, "1")
    asked = bench.ask()
    assert "the model registry has no champion" in bench.run(asked)
    assert bench.store.retrainings.get(asked.id).state is RetrainingState.REFUSED


def test_a_failure_is_tried_again_and_ends_with_a_person(bench: Bench) -> None:
    bench.rules = bench.rules.model_copy(update={"trainer": TRAINERS + "train_badly"})
    asked = bench.ask()
    for attempt in range(1, TRIES + 1):
        assert bench.store.incidents.get(asked.incident_id).state is State.CONTAINED
        with pytest.raises(RetrainingFailed, match="raised MemoryError: no room for the matrix"):
            bench.run(asked)
        assert bench.store.retrainings.get(asked.id).attempts == attempt
    ended(bench, asked.id, RetrainingState.FAILED, "no room for the matrix")


def test_attacked_records_are_not_learned(bench: Bench) -> None:
    store = bench.store
    for n in range(100, 110):
        store.report(Batch(findings=[finding(f"r{n:04}", actor="user-3", severity=Severity.LOW)]), "scan-logs")
    asked = bench.ask()
    bench.run(asked)
    (exhibit,) = [e for e in store.incidents.evidence(asked.incident_id) if e.name == DATA]
    assert exhibit.body["left_out"]["excluded by an incident"] >= 10
    assert not {f"r{n:04}" for n in range(100, 110)} & {r for ids in exhibit.body["ids"].values() for r in ids}


def test_while_the_incident_is_in_other_hands_everything_made_is_kept(bench: Bench) -> None:
    asked = bench.ask()
    bench.store.incidents.move(asked.incident_id, State.RESPONDING, "respond")
    for _ in range(TRIES + 1):
        assert bench.run(asked).startswith(f"retraining {asked.id} waits: incident {asked.incident_id} is responding")
    assert [v.number for v in bench.registry.versions()] == ["1", "2"]
    bench.store.incidents.move(asked.incident_id, State.CONTAINED, "respond")
    bench.run(asked)
    handed_over(bench, asked.incident_id)


def test_a_closed_incident_or_a_withdrawn_request_ends_it(bench: Bench) -> None:
    asked = bench.ask()
    bench.store.incidents.move(asked.incident_id, State.RESOLVED, "ada")
    assert bench.run(asked) == f"retraining {asked.id} is withdrawn"
    untouched(bench)

    again = bench.ask()

    def withdrawn(name: str, step: Callable[[], Any]) -> Any:
        result = step()
        if name == "train the candidate":
            bench.store.retrainings.set(again.id, state=RetrainingState.WITHDRAWN)
        return result

    assert bench.run(again, run=withdrawn) == f"retraining {again.id} waits: retraining {again.id} is withdrawn"
    assert bench.store.incidents.get(again.incident_id).state is State.CONTAINED
    untouched(bench)


def test_a_champion_that_changed_since_is_compared_with_again(bench: Bench) -> None:
    asked = bench.ask()
    bench.store.incidents.move(asked.incident_id, State.RESPONDING, "respond")
    bench.run(asked)
    bench.store.incidents.move(asked.incident_id, State.CONTAINED, "respond")
    model = bench.registry.load_model(bench.registry.get("2"))
    bench.registry.register(model, parameters={}, metrics={}, tags={}, report=None)
    bench.registry.set_champion("3", "1")
    assert ": refused: recent rows (48): +0.0%" in bench.run(asked)
    assert bench.registry.champion_number() == "3"
    assert bench.store.incidents.get(asked.incident_id).state is State.NEEDS_PERSON
