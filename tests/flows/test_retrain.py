"""A retraining from request to hand-over, on a real store and a real registry: refused, failed, killed, taken up."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firebreak.blocks.parquet import frame_of_parquet
from firebreak.blocks.retraining_rules import GateRules
from firebreak.blocks.store import Batch, RetrainingState, State
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.ledger import Outcome
from firebreak.detectors.findings import Severity
from firebreak.flows.retraining import DATA, registry_of
from firebreak.flows.retraining_attempt import TRIES
from firebreak.flows.retraining_errors import RetrainingFailed, RetrainingRefused
from firebreak.flows.trainers import predictions
from firebreak.flows.training_data import Rows
from tests.flows.retraining_bench import DATASET, NEW, Bench, carried_out, handed_over, record, untouched
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
    assert version.tags["firebreak.retraining"] == asked.uuid
    assert version.metrics["candidate_accuracy_recent"] > version.metrics["champion_accuracy_recent"]
    (exhibit,) = [e for e in bench.store.incidents.evidence(asked.incident_id) if e.name == DATA]
    assert version.tags["firebreak.data_sha256"] == exhibit.sha256 == done.detail["data"]
    assert exhibit.body["rows"] == {"train": 112, "recent": 48, "reference": 40}
    assert "ticket 7" not in str(exhibit.body)
    assert bench.run(asked) == f"retraining {asked.id} is handed-over"


def test_approved_it_serves_and_the_reference_is_what_it_would_have_said(bench: Bench) -> None:
    asked = bench.ask()
    bench.run(asked)
    assert carried_out(bench, asked.incident_id, approve=True) == [Outcome.SUCCEEDED] * 2
    assert bench.registry.champion_number() == "2"
    assert bench.reference_ids() == [f"r{n:04}" for n in range(160, 200)]
    now = bench.store.drift.reference(DATASET)
    assert now
    table = frame_of_parquet(now.parquet)
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
        ({"trainer": TRAINERS + "train_sure"}, "gave back a Pipeline without predict_proba()"),
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
        with pytest.raises(RetrainingFailed, match=r"raised MemoryError in train_badly \(retraining_bench.py, line"):
            bench.run(asked)
        assert bench.store.retrainings.get(asked.id).attempts == attempt
    ended(bench, asked.id, RetrainingState.FAILED, "raised MemoryError in train_badly")
    store = bench.store
    told = [store.retrainings.get(asked.id).detail, *(e.detail for e in store.incidents.timeline(asked.incident_id))]
    assert "no room" not in str(told)  # what it says quotes the tickets


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
    assert bench.run(asked) == f"retraining {asked.id} is withdrawn: the incident is resolved"
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


def test_without_a_registry_on_its_block_a_dataset_has_no_model_to_retrain(bench: Bench) -> None:
    assert registry_of(bench.dataset) is bench.registry
    bare = bench.dataset.model_copy(update={"registry": None})
    with pytest.raises(RetrainingRefused, match="dataset tickets names no model registry; set `registry` on its block"):
        registry_of(bare)


def test_a_model_that_raises_says_where_and_nothing_of_the_texts(bench: Bench) -> None:
    class Broken:
        def predict(self, texts: list[str]) -> list[str]:
            raise ValueError(f"can't read {texts[0]}")

    with pytest.raises(
        RetrainingFailed, match=r"^a Broken raised ValueError in predict \(test_retrain.py, line \d+\)$"
    ):
        predictions(Broken(), Rows(("r1",), ("a ticket",), ("bug",)))
