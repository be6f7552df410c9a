"""renew-reference on a real store: the newest rows that nothing accuses, once, and back again."""

from pathlib import Path
from typing import Any

import pytest

from firebreak.blocks.action import ActionError, LeftOut
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.parquet import frame_of_parquet
from firebreak.blocks.renew_reference import RenewReference
from firebreak.blocks.store import Batch, Incident, Store
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.detectors.findings import ActorType, Severity
from firebreak.flows.executor import execute
from tests.flows.retraining_bench import DATASET, NEW, SPEC, record
from tests.stores import finding


class Constant:
    """A model that says the same of everything."""

    def predict(self, texts: list[str]) -> list[str]:
        return ["billing"] * len(texts)


class OnTheBench(RenewReference):
    """The real action, with the test's own blocks."""

    _block_type_slug = "renew-reference-of-a-test"
    block: MonitoredDataset

    def dataset(self, name: str) -> MonitoredDataset:
        assert name == DATASET
        return self.block

    def model(self, dataset: MonitoredDataset, version: str) -> Any:
        assert (dataset, version) == (self.block, "2")
        return Constant()


@pytest.fixture
def action(tmp_path: Path) -> OnTheBench:
    (tmp_path / "spec.yml").write_text(SPEC)
    log = InteractionLog(path=tmp_path / "calls.jsonl")
    for n in range(100):
        log.append(record(n, "bug" if n % 2 else None, NEW, **({"prompt": ""} if n == 99 else {})))
    return OnTheBench(block=MonitoredDataset(spec=tmp_path / "spec.yml", log=log))


@pytest.fixture
def incident(store: Store) -> Incident:
    about: dict[str, Any] = {"kind": "drift", "actor": DATASET, "actor_type": ActorType.DATASET}
    one = finding("w1", **about, severity=Severity.MEDIUM, token_id=None)
    return store.incidents.get(store.report(Batch(findings=[one]), "scan-drift").opened[0][0])


def run(store: Store, incident: Incident, action: OnTheBench, *steps: Step) -> list[Row]:
    with store.lease("incident", "me") as lease:
        assert lease
        execute(store, incident, store.ledger.enter(incident.id, steps), lambda _: action, lease)
    return store.ledger.enter(incident.id, steps)


def planned(store: Store, incident: Incident, action: OnTheBench, **parameters: Any) -> Step:
    step = action.plan(store, incident, {"dataset": DATASET, "reason": "promoted", **parameters})
    assert isinstance(step, Step)
    return step


def rows(store: Store) -> Any:
    now = store.drift.reference(DATASET)
    assert now
    return frame_of_parquet(now.parquet)


def test_the_newest_rows_become_the_reference_once(store: Store, incident: Incident, action: OnTheBench) -> None:
    step = planned(store, incident, action)
    for _ in range(2):
        (row,) = run(store, incident, action, step)
        assert (row.state, row.former) == (Outcome.SUCCEEDED, {"version": None, "sha256": None})
    assert list(rows(store)["id"]) == [f"r{n:04}" for n in range(60, 100)]
    now = store.drift.reference(DATASET)
    assert now
    assert (now.version, now.rows, now.by) == (1, 40, "retrain")
    assert now.why.startswith(f"incident {incident.id}: promoted (step ")


def test_what_is_accused_stays_out_and_the_promoted_model_labels(
    store: Store, incident: Incident, action: OnTheBench
) -> None:
    store.report(Batch(findings=[finding("r0090", actor="user-6")]), "scan-logs")
    run(store, incident, action, planned(store, incident, action, version="2"))
    table = rows(store).set_index("id")
    assert "r0090" not in table.index
    assert "user-6" not in set(table["user"])
    told = table[table["text"] != ""]
    assert set(told["router_label"]) == {"billing"}
    assert set(told["router_version"]) == {"2"}
    assert table.loc["r0099", "router_label"] == "bug"


def test_undone_the_former_version_is_in_force_again_under_a_new_number(
    store: Store, incident: Incident, action: OnTheBench
) -> None:
    first = store.drift.renew(DATASET, b"the first", 40, "scan-drift", "the first rows")
    step = planned(store, incident, action)
    (row,) = run(store, incident, action, step)
    undo = step.model_copy(update={"undo_of": row.digest})
    for _ in range(2):
        assert run(store, incident, action, undo)[0].state is Outcome.SUCCEEDED
    now = store.drift.reference(DATASET)
    assert now
    assert (now.version, now.sha256, now.by) == (3, first.sha256, "release")


def test_a_reference_that_somebody_renewed_since_is_not_put_back(
    store: Store, incident: Incident, action: OnTheBench
) -> None:
    store.drift.renew(DATASET, b"the first", 40, "scan-drift", "the first rows")
    step = planned(store, incident, action)
    (row,) = run(store, incident, action, step)
    store.drift.renew(DATASET, b"ada's", 40, "ada", "better")
    assert run(store, incident, action, step.model_copy(update={"undo_of": row.digest}))[0].state is Outcome.SUCCEEDED
    now = store.drift.reference(DATASET)
    assert now
    assert now.by == "ada"


def test_too_few_rows_are_refused_and_a_fixed_reference_is_not_planned(
    store: Store, incident: Incident, action: OnTheBench
) -> None:
    step = planned(store, incident, action)
    assert action.block.log
    action.block.log.path.write_text("")
    with pytest.raises(ActionError, match="reference of tickets: 0 rows can be used, minimum_sample is 20"):
        action.apply(store, incident, step)
    assert action.block.spec
    action.block.spec.write_text(SPEC.replace("last-approved", "fixed"))
    left = action.plan(store, incident, {"dataset": DATASET})
    assert left == LeftOut(why="the reference of dataset tickets is fixed (its spec says so)")
