"""Runs of `retrain`: killed at every step and taken up by the next one; and as a flow on a real Prefect server."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from pydantic import SecretStr

from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.promote_model import PromoteModel
from firebreak.blocks.renew_reference import RenewReference
from firebreak.blocks.store import RetrainingState, State
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.drift_schema import retrainings
from firebreak.deployments.system import System
from firebreak.flows.retraining import DATA
from tests.flows.retraining_bench import DATASET, Bench, handed_over, untouched
from tests.waiting import until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path).furnish()
    yield made
    connect(f"sqlite:///{tmp_path}/store.db").dispose()


POINTS = [
    "before build the data set",
    "after build the data set",
    "after train the candidate",
    "after judge the candidate",
    "after-register",
    "planning",
    "handed-over",
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_next_run_finishes_with_one_version_and_one_plan(bench: Bench, point: str) -> None:
    asked = bench.ask()
    argv = [sys.executable, "-m", "tests.flows.retraining_bench", str(bench.folder), point]
    child = subprocess.Popen(argv, cwd=Path(__file__).parents[2])
    try:
        until(lambda: (bench.folder / f"at-{point}").exists() or child.poll() is not None, 90, point)
    finally:
        child.kill()
        child.wait()
    assert (bench.folder / f"at-{point}").exists()
    untouched(bench)
    state = bench.store.incidents.get(asked.incident_id).state
    assert state is (State.TRIAGED if point == "handed-over" else State.CONTAINED)
    later = Bench(bench.folder, lambda: datetime.now(UTC) + timedelta(minutes=1))  # the dead run's leases are over
    later.run(asked)
    handed_over(later, asked.incident_id)
    assert later.store.retrainings.get(asked.id).state is RetrainingState.HANDED_OVER
    assert [v.number for v in later.registry.versions()] == ["1", "2"]
    (exhibit,) = [e for e in later.store.incidents.evidence(asked.incident_id) if e.name == DATA]
    assert later.registry.get("2").tags["firebreak.data_sha256"] == exhibit.sha256


def test_a_plan_that_was_written_before_its_run_died_is_said_to_be_handed_over(bench: Bench) -> None:
    asked = bench.ask()
    bench.run(asked)
    with connect(f"sqlite:///{bench.folder}/store.db").begin() as conn:
        conn.execute(retrainings.update().values(state=RetrainingState.RUNNING))
    assert bench.run(asked) == f"retraining {asked.id} is handed-over"
    handed_over(bench, asked.incident_id)


@pytest.mark.integration
def test_as_a_flow_it_loads_its_blocks_shows_its_steps_and_hands_over(bench: Bench, prefect_server: System) -> None:
    from firebreak.flows.retrain import retrain
    from firebreak.flows.triage import triage

    saved = {
        "firebreak": (
            IncidentStore(url=SecretStr(f"sqlite:///{bench.folder}/store.db")),
            bench.registry,
            PromoteModel(registry=bench.registry),
            RenewReference(),
        ),
        DATASET: (bench.dataset,),
    }
    for name, blocks in saved.items():
        for block in blocks:
            block.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]
    asked = bench.ask()
    policy = "version: 1\nplaybooks: []\n"
    bench.store.registers.put_policy(policy)
    assert "the policy has no retraining section" in retrain(asked.incident_id)
    bench.store.registers.put_policy(f"{policy}retraining: {{trainer: {bench.rules.trainer}}}\n")
    assert retrain(asked.incident_id) == f"incident {asked.incident_id}: no retraining is asked for"
    bench.store.incidents.move(asked.incident_id, State.RESOLVED, "ada")
    asked = bench.ask()
    with bench.store.lease(f"retraining:{DATASET}", "another run"):
        assert retrain(asked.incident_id) == f"dataset {DATASET}: another run is at work on it"
    assert retrain(asked.incident_id) == f"retraining {asked.id}: version 2 is put forward for promotion"
    handed_over(bench, asked.incident_id)
    run = bench.store.retrainings.get(asked.id).run_id
    with get_client(sync_client=True) as client:
        names = [task.name for task in client.read_task_runs() if str(task.flow_run_id) == run]
        assert {f"incident-{asked.incident_id}"} <= {a.key for a in client.read_artifacts()}
        assert 85 in [a.data for a in client.read_artifacts() if a.type == "progress"]
    assert sorted(names) == sorted(
        [
            "build the data set",
            "train the candidate",
            "judge the candidate",
            "register the candidate",
            "hand over the promotion",
        ]
    )
    before = bench.store.incidents.get(asked.incident_id).triage or {}
    for state in (State.RESPONDING, State.NEEDS_PERSON):  # as when nobody answered in time
        bench.store.incidents.move(asked.incident_id, state, "respond")
    assert triage(again=asked.incident_id) == "1 triaged, 0 left to others or to the next run"
    again = bench.store.incidents.get(asked.incident_id).triage or {}
    assert (again["steps"], again["retraining"], again["round"]) == (before["steps"], asked.id, 2)
    assert f"retraining {asked.id} made version 2: " in str(again["context"]["lines"])
