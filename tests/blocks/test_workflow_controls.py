"""Stopping a workflow in Prefect: on a real server, with a real worker, by every way a run can start."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.schedules import RRuleSchedule
from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Paused, Running, Suspended

from firebreak.blocks.workflow_controls import ControlsError, WorkflowControls
from firebreak.blocks.workflow_state import ControlsState
from firebreak.deployments.system import System
from tests.blocks.throwaway import Throwaway
from tests.waiting import until

pytestmark = pytest.mark.integration
NAME = "throwaway"


@pytest.fixture(scope="module")
def running_workflow(running_server: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Throwaway]:
    workflow = Throwaway.make(tmp_path_factory.mktemp("throwaway"), running_server)
    workflow.prefect("work-pool", "create", NAME, "--type", "process")
    running_server.start_worker(workflow.env, pool=NAME)
    yield workflow
    running_server.stop_worker()


@pytest.fixture
def workflow(prefect_server: System, running_workflow: Throwaway) -> Throwaway:
    running_workflow.deploy()
    return running_workflow


@pytest.fixture
def client(workflow: Throwaway) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def deployment(client: SyncPrefectClient, name: str) -> UUID:
    return client.read_deployment_by_name(f"{NAME}/{name}").id


def new_run(client: SyncPrefectClient, name: str, **parameters: float) -> UUID:
    return client.create_flow_run_from_deployment(deployment(client, name), parameters=parameters).id


def runs(client: SyncPrefectClient, name: str) -> list[FlowRun]:
    which = deployment(client, name)
    return [run for run in client.read_flow_runs(limit=200) if run.deployment_id == which]


def state(client: SyncPrefectClient, run: UUID) -> StateType | None:
    return client.read_flow_run(run).state_type


def refused(workflow: Throwaway, run: UUID) -> bool:
    """The worker asked for this run, and the server said no."""
    lines = workflow.server.programs["worker"].tail(2000).splitlines()
    return any(str(run) in line and "limit is 0" in line for line in lines)


def alive(run: FlowRun) -> bool:
    _, _, pid = (run.infrastructure_pid or "").rpartition(":")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_every_way_to_run_is_refused_until_the_release(workflow: Throwaway, client: SyncPrefectClient) -> None:
    controls = WorkflowControls(cancel_seconds=15)
    long = new_run(client, "scheduled", seconds=600)
    until(lambda: "began" in workflow.effects, 60, "the long run began")
    running = client.read_flow_run(long)

    former = ControlsState.model_validate_json(controls.read(NAME).model_dump_json())
    assert {d.name: d.limit and d.limit.value for d in former.deployments} == {"scheduled": 3, "triggered": None}
    assert [long] in [ids for d in former.deployments for ids in d.runs.values()]

    began = time.monotonic()
    assert controls.stop(NAME) == []
    assert time.monotonic() - began < 15
    assert controls.is_stopped(NAME) == []
    assert state(client, long) is StateType.CANCELLED
    until(lambda: not alive(running), 10, "the cancelled run's process ended")
    assert workflow.effects == ["began"]

    by_api = new_run(client, "scheduled")
    until(lambda: refused(workflow, by_api), 30, "the API-made run was refused")
    emit_event("throwaway.bell.rung", resource={"prefect.resource.id": "throwaway.bell"})
    until(lambda: runs(client, "triggered"), 30, "the automation made a run")
    by_automation = runs(client, "triggered")[0].id
    until(lambda: refused(workflow, by_automation), 30, "the automation-made run was refused")

    # Somebody un-pauses it, with a schedule that is due: the limit alone must hold. One run: a schedule that goes on
    # makes a hundred at once, which keep a small server busy for minutes.
    scheduled = deployment(client, "scheduled")
    due = datetime.now(UTC) + timedelta(seconds=15)  # the scheduler looks every 10 s, and ahead only
    once = RRuleSchedule(rrule=f"DTSTART:{due:%Y%m%dT%H%M%SZ}\nRRULE:FREQ=HOURLY;COUNT=1")
    client.create_deployment_schedules(scheduled, [DeploymentScheduleCreate(schedule=once, active=True)])
    client.resume_deployment(scheduled)
    assert controls.is_stopped(NAME) == [f"deployment {NAME}/scheduled: its schedules are active"]
    until(
        lambda: any(refused(workflow, run.id) for run in runs(client, "scheduled") if run.auto_scheduled),
        60,
        "a run the schedule made was refused",
    )

    workflow.deploy()  # resets limit and schedules, and so lifts the stop
    faults = controls.is_stopped(NAME)
    assert any("scheduled" in fault and "limit is 3" in fault for fault in faults), faults
    assert any("triggered" in fault and "not set" in fault for fault in faults), faults
    assert any("schedules are active" in fault for fault in faults), faults
    controls.stop(NAME)
    assert controls.is_stopped(NAME) == []
    queued = new_run(client, "scheduled")
    until(lambda: refused(workflow, queued), 30, "a run after the second stop was refused")
    before = len(workflow.effects)

    assert controls.restore(NAME, former) == []
    assert controls.is_restored(NAME, former) == []
    assert state(client, queued) is StateType.CANCELLED
    again = new_run(client, "scheduled")
    until(lambda: state(client, again) is StateType.COMPLETED, 60, "a run after the release completed")
    assert workflow.effects[before:] == ["began", "ended"]


def test_a_zombie_run_does_not_hold_up_the_stop(workflow: Throwaway, client: SyncPrefectClient) -> None:
    controls = WorkflowControls(cancel_seconds=1)
    zombie = client.create_flow_run_from_deployment(deployment(client, "triggered"), state=Running()).id
    assert any(str(zombie) in fault for fault in controls.is_stopped(NAME))
    began = time.monotonic()
    notices = controls.stop(NAME)
    assert time.monotonic() - began < 10
    assert state(client, zombie) is StateType.CANCELLED
    assert [str(zombie) in notice for notice in notices] == [True], notices
    assert controls.is_stopped(NAME) == []


def test_a_suspended_run_is_left_and_one_paused_in_its_process_is_not(
    workflow: Throwaway, client: SyncPrefectClient
) -> None:
    made = {}
    states: dict[str, State[None]] = {
        "suspended": Suspended(timeout_seconds=600),
        "paused": Paused(timeout_seconds=600),
    }
    for how, paused in states.items():
        run = client.create_flow_run_from_deployment(deployment(client, "triggered"), state=Running()).id
        client.set_flow_run_state(run, paused)
        made[how] = run
    WorkflowControls(cancel_seconds=0).stop(NAME)
    assert state(client, made["suspended"]) is StateType.PAUSED
    assert state(client, made["paused"]) is StateType.CANCELLED


def test_a_limit_shared_with_another_workflow_is_untouched_and_given_back(
    workflow: Throwaway, client: SyncPrefectClient
) -> None:
    controls = WorkflowControls()
    name = f"shared-{uuid4()}"
    client.upsert_global_concurrency_limit_by_name(name, 5)
    shared = client.read_global_concurrency_limit_by_name(name)
    client.request(
        "PATCH",
        "/deployments/{id}",
        path_params={"id": deployment(client, "triggered")},
        json={"global_concurrency_limit_id": str(shared.id)},
    )
    former = controls.read(NAME)
    controls.stop(NAME)
    assert controls.is_stopped(NAME) == []
    assert client.read_global_concurrency_limit_by_name(name).limit == 5
    assert controls.restore(NAME, former) == []
    now = client.read_deployment(deployment(client, "triggered")).global_concurrency_limit
    assert now is not None
    assert (now.name, now.limit) == (name, 5)
    assert controls.is_restored(NAME, former) == []

    controls.stop(NAME)
    client.delete_global_concurrency_limit_by_name(name)
    assert [name in notice for notice in controls.restore(NAME, former)] == [True]
    assert controls.is_restored(NAME, former) == [f"deployment {NAME}/triggered: concurrency limit is None, was 5"]


def test_deployments_that_come_and_go_during_a_stop(workflow: Throwaway, client: SyncPrefectClient) -> None:
    controls = WorkflowControls()
    flow_id = client.read_flow_by_name(NAME).id
    leaving = client.create_deployment(flow_id, "leaving", entrypoint="throwaway_flow.throwaway")
    former = controls.read(NAME)
    controls.stop(NAME)
    client.delete_deployment(leaving)
    coming = client.create_deployment(flow_id, "coming", entrypoint="throwaway_flow.throwaway")
    assert [fault.split(":")[0] for fault in controls.is_stopped(NAME)] == [f"deployment {NAME}/coming"]
    controls.stop(NAME)
    assert controls.is_stopped(NAME) == []
    assert controls.is_restored(NAME, former) != []
    notices = controls.restore(NAME, former)
    assert [("added" in notice, "is gone" in notice) for notice in notices] == [(True, False), (False, True)]
    assert controls.is_restored(NAME, former) == []
    after = client.read_deployment(coming)
    assert (after.paused, after.global_concurrency_limit) == (False, None)
    client.delete_deployment(coming)


def test_a_paused_deployment_stays_paused_after_the_release(workflow: Throwaway, client: SyncPrefectClient) -> None:
    controls = WorkflowControls()
    client.pause_deployment(deployment(client, "scheduled"))
    former = controls.read(NAME)
    controls.stop(NAME)
    controls.restore(NAME, former)
    assert client.read_deployment(deployment(client, "scheduled")).paused
    assert controls.is_restored(NAME, former) == []


def test_a_workflow_without_deployments_is_stopped_by_the_guard_alone(workflow: Throwaway) -> None:
    controls = WorkflowControls()
    assert controls.stop("nobody-deployed-this") == []
    assert controls.is_stopped("nobody-deployed-this") == []


def test_prefect_away_is_said_with_what_to_do() -> None:
    with (
        temporary_settings(updates={PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(ControlsError, match="PREFECT_API_URL"),
    ):
        WorkflowControls().is_stopped(NAME)
