"""The drift scan on a real store: windows of a log and of a file, each judged once, killed anywhere."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.registry_errors import RegistryUnreachable
from firebreak.blocks.store import JudgedWindow, Lease, LeaseLost, State, Store
from firebreak.blocks.store.database import connect
from firebreak.detectors.drift.frames import FrameError
from firebreak.detectors.drift.spec import SHIPPED, DatasetSpec
from firebreak.detectors.findings import ActorType
from firebreak.detectors.records import Record
from firebreak.flows.drift_page import page
from firebreak.flows.drift_recovery import settle_recovered
from firebreak.flows.drift_scanning import DriftStep, next_window

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
LABELS = ("billing", "access", "bug", "how-to")


def records(count: int, seed: int, length: float = 60, first: int = 0) -> Iterator[Record]:
    """Calls whose prompts have about this length."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        label = str(rng.choice(LABELS))
        yield Record(
            id=f"r{first + number}",
            time=BEGAN + timedelta(seconds=first + number),
            workflow="answer-tickets",
            user=f"u{number % 7}",
            token_id="support-key",
            prompt="a" * max(1, int(rng.normal(length, 12))),
            response="b" * int(rng.integers(40, 90)),
            latency_ms=float(rng.gamma(4, 30)),
            prompt_tokens=int(rng.integers(10, 40)),
            response_tokens=int(rng.integers(10, 30)),
            router_label=label,
            router_confidence=float(rng.beta(8, 2)),
            feedback=label if number % 3 else None,
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/store.db"
    yield Store(url)
    connect(url).dispose()


@pytest.fixture
def lease(store: Store) -> Iterator[Lease]:
    with store.lease("scan-drift:support-tickets", "test") as lease:
        assert lease is not None
        yield lease


@pytest.fixture
def dataset(tmp_path: Path) -> MonitoredDataset:
    """The shipped spec with small windows, on a log of the test's own."""
    spec = yaml.safe_load(SHIPPED.read_text())
    spec |= {"window": {"rows": 100}, "reference": {"renew": "last-approved", "rows": 200}, "minimum_sample": 60}
    (tmp_path / "spec.yml").write_text(yaml.safe_dump(spec))
    log = InteractionLog(path=tmp_path / "calls.jsonl")
    return MonitoredDataset(spec=tmp_path / "spec.yml", log=log, reports=tmp_path / "reports")


def write(dataset: MonitoredDataset, found: Iterator[Record]) -> None:
    assert dataset.log is not None
    for record in found:
        dataset.log.append(record)


def scan(store: Store, dataset: MonitoredDataset, lease: Lease) -> list[DriftStep]:
    """Every step until nothing is left to judge."""
    steps: list[DriftStep] = []
    while True:
        step = next_window(store, dataset, lease, lambda spec, window: None)
        if step.window is None and not step.put_in_force:
            return [*steps, step]
        steps.append(step)


def test_drift_that_persists_is_one_incident_with_columns_direction_and_report(
    store: Store, dataset: MonitoredDataset, lease: Lease, tmp_path: Path
) -> None:
    write(dataset, records(150, seed=1))
    assert [step.waiting for step in scan(store, dataset, lease)] == [150]
    assert store.drift.reference("support-tickets") is None

    write(dataset, records(180, seed=2, first=150))
    steps = scan(store, dataset, lease)
    assert [(step.put_in_force, step.window is not None, step.waiting) for step in steps] == [
        (True, False, 0),
        (False, True, 0),
        (False, False, 30),
    ]
    assert store.incidents.in_states() == []

    write(dataset, records(270, seed=3, first=330, length=90))  # 30 ordinary rows and 270 long ones
    windows = [step.window for step in scan(store, dataset, lease) if step.window]
    assert len(windows) == 3
    assert [("column prompt_length" in w.confirmed) for w in windows] == [False, True, True]
    (incident,) = store.incidents.in_states()
    assert (incident.kind, incident.actor_type, incident.actor) == ("drift", ActorType.DATASET, "support-tickets")
    found = [s.finding for s in store.incidents.sightings(incident.id) if s.finding.kind == "drift"]
    assert len(found) == 2
    (column,) = [row for row in found[0].detail["columns"] if row["column"] == "prompt_length"]
    assert column["method"] == "wasserstein"
    assert column["score"] > column["threshold"] == 0.1
    assert (column["direction"], column["reference_rows"], column["current_rows"]) == ("up", 200, 100)
    report = Path(found[0].detail["report"])
    assert report.parent == tmp_path / "reports" / "support-tickets"
    assert report.stat().st_mode & 0o077 == 0
    assert "prompt_length" in report.read_text(encoding="utf-8")
    assert store.holds.all() == []

    shown = page(store, dataset.definition())
    assert "**yes**" in shown
    assert str(windows[-1].report) in shown
    assert "reference version 1" in shown


def test_it_recovers_by_itself_and_the_incident_ends(store: Store, dataset: MonitoredDataset, lease: Lease) -> None:
    write(dataset, records(200, seed=1))
    write(dataset, records(200, seed=2, first=200, length=90))
    scan(store, dataset, lease)
    (incident,) = store.incidents.in_states()
    store.incidents.move(incident.id, State.TRIAGED, "triage", triage={"steps": []})
    write(dataset, records(200, seed=3, first=400))
    first, second = [step.window for step in scan(store, dataset, lease) if step.window]
    assert first.confirmed  # one clear window isn't enough
    assert settle_recovered_quietly(store, dataset.definition(), first) == []
    assert second.confirmed == []
    assert len(settle_recovered_quietly(store, dataset.definition(), second)) == 1
    assert store.incidents.get(incident.id).state is State.RESOLVED


def settle_recovered_quietly(store: Store, spec: DatasetSpec, window: JudgedWindow) -> list[str]:
    return settle_recovered(store, spec, window, lambda incident_id: None)


def test_broken_data_is_over_when_it_is_mended_and_two_sightings_far_apart_are_no_trouble(
    store: Store, dataset: MonitoredDataset, lease: Lease
) -> None:
    def without_latency(found: Iterator[Record]) -> Iterator[Record]:
        return (record.model_copy(update={"latency_ms": None}) for record in found)

    name = "quality missing latency_ms"
    write(dataset, records(200, seed=1))
    write(dataset, without_latency(records(100, seed=2, first=200)))
    write(dataset, records(300, seed=3, first=300))
    write(dataset, without_latency(records(300, seed=4, first=600)))
    write(dataset, records(200, seed=5, first=900))
    windows = [step.window for step in scan(store, dataset, lease) if step.window]
    assert [name in w.confirmed for w in windows] == [False] * 5 + [True, True, True, False]
    assert windows[5].cause
    assert windows[5].cause["cause"] == "data"
    (incident,) = store.incidents.in_states()
    assert incident.cause == "data"


def test_a_column_without_a_verdict_is_neither_drifted_nor_clear(
    store: Store, dataset: MonitoredDataset, lease: Lease
) -> None:
    write(dataset, records(200, seed=1))
    write(dataset, records(200, seed=2, first=200, length=90))
    unlabelled = (r.model_copy(update={"feedback": None}) for r in records(100, seed=3, first=400))
    write(dataset, unlabelled)
    *_, last = [step.window for step in scan(store, dataset, lease) if step.window]
    assert "column feedback" not in last.drifted
    assert last.drifted["column prompt_length"] is False


def test_a_registry_that_is_away_keeps_no_drift_from_being_written(
    store: Store, dataset: MonitoredDataset, lease: Lease
) -> None:
    def away(spec: DatasetSpec, window: pd.DataFrame) -> None:
        raise RegistryUnreachable("the model registry is away")

    write(dataset, records(200, seed=1))
    write(dataset, records(200, seed=2, first=200, length=90))
    steps = [next_window(store, dataset, lease, away) for _ in range(3)]
    assert steps[-1].window is not None
    assert (steps[-1].window.cause or {})["cause"] == "unclear"
    assert "RegistryUnreachable" in (steps[-1].window.cause or {})["reasons"][0]
    assert [incident.cause for incident in store.incidents.in_states()] == ["unclear"]


def test_a_page_that_cannot_be_written_loses_no_finding(
    store: Store, dataset: MonitoredDataset, lease: Lease, tmp_path: Path
) -> None:
    (tmp_path / "reports").write_text("a file where the folder should be")
    write(dataset, records(200, seed=1))
    write(dataset, records(200, seed=2, first=200, length=90))
    scan(store, dataset, lease)
    assert [w.report for w in store.drift.windows("support-tickets")] == [None, None]
    assert len(store.incidents.in_states()) == 1


def test_rotation_in_the_middle_of_a_window_loses_and_doubles_nothing(
    store: Store, dataset: MonitoredDataset, lease: Lease
) -> None:
    assert dataset.log is not None
    write(dataset, records(250, seed=1))
    scan(store, dataset, lease)
    dataset.log.path.rename(dataset.log.path.with_name("calls.jsonl.1"))
    write(dataset, records(250, seed=2, first=250))
    scan(store, dataset, lease)
    windows = store.drift.windows("support-tickets")
    assert [(w.first_record, w.last_record, w.rows) for w in windows] == [
        ("r200", "r299", 100),
        ("r300", "r399", 100),
        ("r400", "r499", 100),
    ]


def test_a_scan_that_lost_its_lease_writes_nothing(store: Store, dataset: MonitoredDataset, lease: Lease) -> None:
    write(dataset, records(300, seed=1))
    next_window(store, dataset, lease, lambda spec, window: None)
    lease.owner = "somebody who had it once"
    with pytest.raises(LeaseLost):
        next_window(store, dataset, lease, lambda spec, window: None)
    assert store.drift.windows("support-tickets") == []
    lease.owner = "test"
    assert [step.window is not None for step in scan(store, dataset, lease)] == [True, False]


CHILD = """
import os, sys
from pathlib import Path
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.store import Store
from firebreak.flows.drift_scanning import next_window

folder = Path(sys.argv[1])
store = Store(f"sqlite:///{folder}/store.db")
dataset = MonitoredDataset(spec=folder / "spec.yml", log=InteractionLog(path=folder / "calls.jsonl"))
with store.lease(f"scan-drift:{os.getpid()}", "child") as lease:  # a dead child's lease is not waited for here
    while True:
        step = next_window(store, dataset, lease, lambda spec, window: None)
        print("step", flush=True)
        if step.window is None and not step.put_in_force:
            break
"""


def test_killed_at_any_step_every_window_is_judged_once(
    store: Store, dataset: MonitoredDataset, tmp_path: Path
) -> None:
    write(dataset, records(200, seed=1))
    write(dataset, records(300, seed=2, first=200, length=90))
    done = -1
    for _ in range(6):  # the reference, three windows, and room for kills that came before anything was written
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        windows = store.drift.windows("support-tickets")
        reference = store.drift.references("support-tickets")
        assert len(reference) <= 1
        assert len(windows) >= done
        done = len(windows)
        firsts = [window.first_record for window in windows]
        assert firsts == [f"r{200 + 100 * n}" for n in range(len(windows))]
        if done == 3:
            break
    assert done == 3
    (incident,) = store.incidents.in_states()
    drift = [s for s in store.incidents.sightings(incident.id) if s.finding.kind == "drift"]
    assert len(drift) == 2  # from the second drifted window on, each once


def test_a_file_is_scanned_as_it_grows(store: Store, lease: Lease, tmp_path: Path) -> None:
    spec = {
        "dataset": "orders",
        "workflow": "pricing",
        "source": {"type": "csv", "path": str(tmp_path / "orders.csv")},
        "window": {"rows": 50},
        "reference": {"rows": 100},
        "minimum_sample": 30,
        "text": None,
        "columns": {"amount": {"kind": "numerical", "method": "ks", "threshold": 0.05}},
    }
    (tmp_path / "orders.yml").write_text(yaml.safe_dump(spec))
    rng = np.random.default_rng(0)

    def rows(count: int, first: int, mean: float) -> pd.DataFrame:
        times = [(BEGAN + timedelta(minutes=first + n)).isoformat() for n in range(count)]
        return pd.DataFrame({"id": range(first, first + count), "time": times, "amount": rng.normal(mean, 1, count)})

    orders = MonitoredDataset(spec=tmp_path / "orders.yml")
    with pytest.raises(FrameError, match=r"orders\.csv"):
        next_window(store, orders, lease)
    rows(160, 0, 5).to_csv(tmp_path / "orders.csv", index=False)
    assert [step.waiting for step in scan(store, orders, lease)] == [0, 0, 10]
    rows(90, 160, 7).to_csv(tmp_path / "orders.csv", index=False, header=False, mode="a")
    assert [step.waiting for step in scan(store, orders, lease)] == [0, 0, 0]
    assert [w.confirmed for w in store.drift.windows("orders")] == [[], [], ["column amount"]]
    (incident,) = store.incidents.in_states()
    assert (incident.workflow, incident.actor) == ("pricing", "orders")
