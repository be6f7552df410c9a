"""Block: what Prefect can do to stop a workflow, and to let it run again exactly as before.

The guard's switch in the store is the truth; this keeps Prefect from starting runs the guard would refuse.

ControlsError     Prefect's API is away or refuses; every verb may raise it, and may be called again
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import PrefectException
from pydantic import Field

from firebreak.blocks.action import ActionError
from firebreak.blocks.deployment_limit import is_own, own_name, put_limit, zero_limit
from firebreak.blocks.workflow_runs import active_runs, cancel, starts_without_asking
from firebreak.blocks.workflow_state import ControlsState, DeploymentState

PAGE = 200


class ControlsError(ActionError):
    """Prefect's API can't be reached, or refused."""


class WorkflowControls(Block):
    """Stops and releases all deployments of a flow, through Prefect's API only."""

    _block_type_name = "Workflow Controls"
    _block_type_slug = "workflow-controls"
    _description = "Stop every deployment of a workflow in Prefect, verify it, and put everything back."

    cancel_seconds: float = Field(
        default=10,
        ge=0,
        description="How long a run may take to confirm its cancellation; then it is marked cancelled all "
        "the same, because a run whose process is gone never confirms",
    )

    def read(self, workflow: str) -> ControlsState:
        """How the workflow's deployments are set now."""
        with _prefect() as client:
            return ControlsState(
                workflow=workflow,
                deployments=[
                    DeploymentState.of(deployment, active_runs(client, deployment.id))
                    for deployment in _deployments(client, workflow)
                ],
            )

    def stop(self, workflow: str) -> list[str]:
        """Limits to 0, schedules paused, waiting and running runs cancelled. Idempotent.

        A suspended run is left: resumed, it has to pass the limit. Returns what a reader should know.
        """
        with _prefect() as client:
            deployments = _deployments(client, workflow)
            for deployment in deployments:
                zero_limit(client, deployment)
                client.pause_deployment(deployment.id)  # also deletes the runs the schedule made in advance
            return cancel(client, [d.id for d in deployments], self.cancel_seconds)

    def is_stopped(self, workflow: str) -> list[str]:
        """What does not hold yet, read afresh. A queued run is no fault: the limit keeps it waiting."""
        faults = []
        with _prefect() as client:
            for deployment in _deployments(client, workflow):
                name = f"deployment {workflow}/{deployment.name}"
                limit = deployment.global_concurrency_limit
                if limit is None or limit.limit != 0:
                    faults.append(f"{name}: concurrency limit is {limit.limit if limit else 'not set'}, not 0")
                if not deployment.paused and any(schedule.active for schedule in deployment.schedules):
                    faults.append(f"{name}: its schedules are active")
                runs = [run for run in active_runs(client, deployment.id) if starts_without_asking(run)]
                faults += [f"{name}: run {run.id} is {run.state_name}" for run in runs]
        return faults

    def restore(self, workflow: str, former: ControlsState) -> list[str]:
        """Cancel what queued up, then put limits and schedules back. Returns what could not be put back."""
        with _prefect() as client:
            deployments = _deployments(client, workflow)
            notices = cancel(client, [d.id for d in deployments], self.cancel_seconds)  # while the limits are 0
            for deployment in deployments:
                before = former.of(deployment.id, deployment.name)
                if before is None:
                    notices.append(
                        f"deployment {workflow}/{deployment.name} was added during the stop: it gets no "
                        "limit, its schedules run; deploy it again if it should be otherwise"
                    )
                notices += put_limit(client, deployment, before.limit if before else None)
                if before and before.paused:
                    client.pause_deployment(deployment.id)
                else:
                    client.resume_deployment(deployment.id)
        return notices + [
            f"deployment {workflow}/{name} is gone: nothing to put back"
            for name in former.missing([(d.id, d.name) for d in deployments])
        ]

    def is_restored(self, workflow: str, former: ControlsState) -> list[str]:
        """What is not as it was, read afresh; deployments that are gone don't count."""
        faults = []
        with _prefect() as client:
            for deployment in _deployments(client, workflow):
                name = f"deployment {workflow}/{deployment.name}"
                before = former.of(deployment.id, deployment.name)
                limit = deployment.global_concurrency_limit
                now = limit.limit if limit else None
                if before is None:
                    if now == 0 and is_own(deployment):
                        faults.append(f"{name}: concurrency limit {own_name(deployment)} is still 0")
                    continue
                then = before.limit.value if before.limit else None
                if now != then:
                    faults.append(f"{name}: concurrency limit is {now}, was {then}")
                if deployment.paused != before.paused:
                    faults.append(f"{name}: paused is {deployment.paused}, was {before.paused}")
        return faults


@contextmanager
def _prefect() -> Iterator[SyncPrefectClient]:
    try:
        with get_client(sync_client=True) as client:
            yield client
    except (httpx.HTTPError, PrefectException) as error:
        raise ControlsError(
            f"Prefect's API did not do as asked ({type(error).__name__}: {error}); "
            "look whether the server runs and PREFECT_API_URL names it, then try again"
        ) from error


def _deployments(client: SyncPrefectClient, workflow: str) -> list[DeploymentResponse]:
    found: list[DeploymentResponse] = []
    named = FlowFilter(name=FlowFilterName(any_=[workflow]))
    while page := client.read_deployments(flow_filter=named, limit=PAGE, offset=len(found)):
        found += page
    return sorted(found, key=lambda deployment: deployment.name)
