"""Workflows that run unseen, against a real Prefect server and a real store."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Running

from firebreak.blocks.store import Batch, Incident, Store
from firebreak.deployments.system import System
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import microseconds
from firebreak.flows.monitoring_gaps import tell_monitoring_gaps
from firebreak.flows.runs import Runs
from tests.stores import Clock

pytestmark = pytest.mark.integration


class Bench:
    """A deployment of a workflow of its own, tagged or not, and a store whose clock tests move."""

    def __init__(self, client: SyncPrefectClient, folder: Path, tags: list[str]) -> None:
        self.client, self.clock = client, Clock()
        self.clock.now = datetime.now(UTC)
        self.store = Store(f"sqlite:///{folder}/store.db", self.clock)
        self.workflow = f"workflow-{uuid4().hex[:8]}"
        self.deployment: UUID = client.create_deployment(client.create_flow_from_name(self.workflow), "live", tags=tags)

    def run(self, state: State | None = None, logged: bool = False) -> FlowRun:
        run = self.client.create_flow_run_from_deployment(self.deployment)
        self.client.set_flow_run_state(run.id, Running(), force=True)
        self.client.set_flow_run_state(run.id, state or Completed(), force=True)
        if logged:
            self.log(str(run.id))
        return self.client.read_flow_run(run.id)

    def log(self, run: str) -> None:
        self.store.report(Batch(runs_logged={run: (self.workflow, self.clock.now)}), "scan-logs")

    def look(self, minutes: float = 2, read: bool = True) -> list[Incident]:
        """What stands after `reconcile` looked; the scan stood at the log's end just before."""
        self.clock.forward(minutes * 60)
        if read:
            self.store.watch.at_end("file:/calls.log")
        tell_monitoring_gaps(self.store, Runs(self.client))
        return self.store.incidents.in_states()


@pytest.fixture
def client(prefect_server: System) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
        for deployment in client.read_deployments():  # what one test watches isn't the next one's
            client.delete_deployment(deployment.id)


@pytest.fixture
def bench(client: SyncPrefectClient, tmp_path: Path) -> Bench:
    return Bench(client, tmp_path, ["ai-workflow"])


def test_a_workflow_that_runs_and_logs_nothing_is_one_incident(bench: Bench) -> None:
    bench.run(), bench.run()
    assert bench.look() == []
    runs = [bench.run() for _ in range(3)]
    (incident,) = bench.look()
    assert (incident.kind, incident.actor, incident.title) == (
        "monitoring-gap",
        bench.workflow,
        "A workflow runs and logs nothing",
    )
    (sighting,) = bench.store.incidents.sightings(incident.id)
    assert str(runs[-1].id) in sighting.finding.evidence[0].excerpt
    bench.run()
    assert [i.findings for i in bench.look()] == [1]  # the same silence is no new finding


def test_runs_that_had_nothing_to_do_now_and_then_are_quiet(bench: Bench) -> None:
    for logged in (True, False, True, True, False, False, True):
        bench.run(logged=logged)
    for _ in range(2):
        bench.run()
    assert bench.look() == []


def test_a_run_that_says_that_it_had_nothing_to_do_is_not_counted(bench: Bench) -> None:
    for _ in range(5):
        bench.run(Completed(name="Idle"))
    assert bench.look() == []


def test_it_is_quiet_again_when_records_come(bench: Bench) -> None:
    for _ in range(3):
        bench.run()
    assert len(bench.look()) == 1
    bench.run(logged=True)
    bench.look()
    assert [i.findings for i in bench.store.incidents.in_states()] == [1]
    for _ in range(3):
        bench.run()
    assert bench.look() != []


def test_nobody_is_silent_where_no_scan_has_read_that_far(bench: Bench) -> None:
    bench.look(0)
    for _ in range(4):
        bench.run()
    assert bench.look(60, read=False) == []


def test_a_deployment_without_the_tag_is_nobody_s_business(client: SyncPrefectClient, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, ["nightly"])
    for _ in range(4):
        bench.run()
    assert bench.look() == []


def test_the_guard_may_stand_in_a_flow_that_the_run_calls(bench: Bench, client: SyncPrefectClient) -> None:
    parents = [bench.run() for _ in range(3)]
    flow, task = client.create_flow_from_name("inner"), uuid4().hex
    body = {"flow_id": str(flow), "state": {"type": "COMPLETED", "name": "Completed"}}
    made = client.request(
        "POST", "/task_runs/", json={"flow_run_id": str(parents[0].id), "task_key": task, "dynamic_key": "0"}
    ).json()
    inner = client.request("POST", "/flow_runs/", json={**body, "parent_task_run_id": made["id"]}).json()
    bench.log(inner["id"])
    assert bench.look() == []


def test_records_that_do_not_name_their_run_count_by_their_time(bench: Bench) -> None:
    bench.look()
    counter = UsageCounter()
    counter.add(microseconds(datetime.now(UTC)), bench.workflow)
    bench.store.report(Batch(usage=counter), "scan-logs")
    for _ in range(4):
        bench.run()
    assert bench.look() == []


def test_calls_that_the_guard_saw_and_the_log_does_not_hold(bench: Bench) -> None:
    bench.store.report(Batch(runs_called={"run-1": bench.workflow, "run-2": bench.workflow}), "guard")
    bench.log("run-2")
    assert bench.look(5) == []  # the model may take its time
    (incident,) = bench.look(10)
    assert incident.title == "The guard saw a workflow's calls, and the log holds none of them"
    assert [s.finding.evidence[0].excerpt[-5:] for s in bench.store.incidents.sightings(incident.id)] == ["run-1"]


def test_a_log_that_stopped_while_a_run_goes_on(bench: Bench) -> None:
    run = bench.run(Running())
    begin = bench.clock.now
    counter = UsageCounter()
    for minutes in range(0, 8 * 24 * 60, 5):
        counter.add(microseconds(begin - timedelta(minutes=minutes)), bench.workflow)
    bench.store.report(Batch(usage=counter), "scan-logs")
    assert bench.look(10) == []
    (incident,) = bench.look(20)
    assert incident.title == "A workflow's log has stopped while it runs"
    bench.client.set_flow_run_state(run.id, Completed(), force=True)
    assert [i.findings for i in bench.look(30)] == [1]
