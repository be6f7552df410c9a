"""A workflow's unfinished runs, and cancelling them."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Cancelling

UNFINISHED = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]
PAGE = 200
BETWEEN_LOOKS = 0.25
WHY = "Firebreak stopped this workflow"


def active_runs(client: SyncPrefectClient, *deployments: UUID) -> list[FlowRun]:
    """Every unfinished run of the deployments."""
    return _read(
        client,
        FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=list(deployments)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)),
        ),
    )


def starts_without_asking(run: FlowRun) -> bool:
    """Has it passed the limit already? Queued and suspended runs must still pass it."""
    state = run.state
    if state is None or state.type in (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING):
        return True
    if state.type is StateType.PAUSED:
        return not state.state_details.pause_reschedule  # paused in its process, which waits
    return state.name == "AwaitingRetry" and bool(run.infrastructure_pid)  # the process waits to try again


def cancel(client: SyncPrefectClient, deployments: Sequence[UUID], seconds: float) -> list[str]:
    """Cancel queued and running runs. What doesn't confirm in time is marked cancelled, and returned.

    Every run is asked by CANCELLING: the server makes that CANCELLED for one that only waits, and only the
    server knows whether a worker is taking it at this moment. And it is asked until it has ended: a worker
    that just took a run, or the service that marks runs late, may write its state over ours.
    """
    deadline = time.monotonic() + seconds
    while waiting := _to_cancel(client, deployments):
        if time.monotonic() >= deadline:
            return [_end(client, run) for run in waiting]
        for run in waiting:
            if run.state_type is not StateType.CANCELLING:
                client.set_flow_run_state(run.id, Cancelling(message=WHY))
        time.sleep(BETWEEN_LOOKS)
    return []


def _to_cancel(client: SyncPrefectClient, deployments: Sequence[UUID]) -> list[FlowRun]:
    runs = active_runs(client, *deployments) if deployments else []
    return [run for run in runs if starts_without_asking(run) or _is_queued(run)]


def _is_queued(run: FlowRun) -> bool:
    """Waits to start. A schedule's future run isn't: cancelled, it would be missing after the release."""
    due = run.expected_start_time
    ahead = run.auto_scheduled and due is not None and due > datetime.now(UTC)
    return run.state_type is StateType.SCHEDULED and not ahead


def _end(client: SyncPrefectClient, run: FlowRun) -> str:
    client.set_flow_run_state(run.id, Cancelled(message=f"{WHY}; nobody confirmed it"), force=True)
    return (
        f"run {run.id} ({run.state_name}) did not confirm its cancellation and was marked cancelled: "
        f"if a process of it still lives ({run.infrastructure_pid or 'none known'}), end it"
    )


def _read(client: SyncPrefectClient, which: FlowRunFilter) -> list[FlowRun]:
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=which, limit=PAGE, offset=len(found)):
        found += page
    return found
