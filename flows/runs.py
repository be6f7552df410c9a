"""Flow runs as `reconcile` needs them: reading, starting, ending the dead, answering the expired."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterId,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import Flow, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from firebreak.flows.approval import NOBODY, form_of

DEPLOYMENT = TAG = "firebreak"
AI_WORKFLOW = "ai-workflow"  # the tag of deployments whose calls must be in the log
PAGE = 200
OURS = (
    "triage",
    "respond",
    "release",
    "reconcile",
    "scan-logs",
    "scan-archive",
    "scan-drift",
    "retrain",
    "renew-reference",
    "calibrate",
    "acknowledge",
)
ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)


class Runs:
    """The Prefect side of `reconcile`. Errors: Prefect's and httpx's own."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client

    def read(self, run_id: str | None) -> FlowRun | None:
        """None when there is no such run (deleted)."""
        if run_id is None:
            return None
        try:
            return self._client.read_flow_run(UUID(run_id))
        except ObjectNotFound:
            return None

    def start(self, flow: str, parameters: dict[str, Any] | None = None) -> str:
        """Start a run of the deployment ``<flow>/firebreak``; its id."""
        deployment = self._client.read_deployment_by_name(f"{flow}/{DEPLOYMENT}")
        run = self._client.create_flow_run_from_deployment(deployment.id, parameters=parameters or {})
        return str(run.id)

    def again(self, run: FlowRun) -> str:
        """Start a run of the same deployment with the same parameters; its id."""
        assert run.deployment_id is not None, "Firebreak's runs come from deployments"
        return str(self._client.create_flow_run_from_deployment(run.deployment_id, parameters=run.parameters).id)

    def bury(self, run: FlowRun | None, why: str) -> None:
        """End a run whose process is gone, so that nothing waits for it and its slot is free."""
        if run is not None and run.state is not None and run.state.type not in ENDED:
            self._client.set_flow_run_state(run.id, Crashed(message=why), force=True)

    def stuck(self, now: datetime, after: timedelta) -> list[FlowRun]:
        """Runs of ours that have been pending for too long: their worker died before it started them."""
        return [run for run in self._ours([StateType.PENDING]) if run.state and now - run.state.timestamp > after]

    def unfinished(self, flow: str, now: datetime, after: timedelta) -> list[FlowRun]:
        """Runs of a flow that are pending or running for longer than this."""
        found = self._ours([StateType.PENDING, StateType.RUNNING], flow)
        return [run for run in found if run.state and now - run.state.timestamp > after]

    def silent(self, now: datetime, since: timedelta) -> list[FlowRun]:
        """Running runs, tagged as ours or as protected by us, without a heartbeat for so long."""
        running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
        tagged = FlowRunFilter(state=running, tags=FlowRunFilterTags(all_=[TAG]))
        found = self._client.read_flow_runs(flow_run_filter=tagged, limit=200)
        old = [run for run in found if run.state and now - run.state.timestamp > since]
        return [run for run in old if not self._heard(run, now - since)]

    def _heard(self, run: FlowRun, since: datetime) -> bool:
        about = {
            "resource": {"id": [f"prefect.flow-run.{run.id}"]},
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "occurred": {"since": since.isoformat()},
        }
        answer = self._client.request("POST", "/events/filter", json={"filter": about, "limit": 1})
        return bool(answer.json()["events"])

    def cancel_pile(self, flow: str, now: datetime, keep: str | None) -> int:
        """Cancel runs of a scheduled flow that piled up while no worker was there. How many."""
        late = [
            run
            for run in self._ours([StateType.SCHEDULED], flow)
            if run.expected_start_time and run.expected_start_time < now and str(run.id) != keep
        ]
        for run in late:
            self._client.set_flow_run_state(run.id, Cancelled(message="a later run does this"), force=True)
        return len(late)

    def can_be_answered(self, run: FlowRun) -> bool:
        """False when the run was killed between suspending and saving its form: nobody can ever answer it."""
        return form_of(run) is not None

    def resume_expired(self, run: FlowRun) -> None:
        """Let a suspended run go on to its normal end; the store holds the decision, the form's content is unused."""
        answer = {"decision": "refuse", "name": NOBODY, "comment": "nobody answered in time", "code": "000000"}
        fields = (form_of(run) or {}).get("properties", answer)
        self._client.resume_flow_run(run.id, run_input={k: v for k, v in answer.items() if k in fields})

    def watched(self) -> dict[str, list[DeploymentResponse]]:
        """The deployments tagged ``ai-workflow``, by the flow's name, which is the workflow's."""
        tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[AI_WORKFLOW]))
        found: list[DeploymentResponse] = []
        while page := self._client.read_deployments(deployment_filter=tagged, limit=PAGE, offset=len(found)):
            found += page
        names = {flow.id: flow.name for flow in self._flows({each.flow_id for each in found})}
        by_flow: dict[str, list[DeploymentResponse]] = {}
        for each in found:
            by_flow.setdefault(names[each.flow_id], []).append(each)
        return by_flow

    def completed(self, deployments: list[UUID], since: datetime, until: datetime) -> list[FlowRun]:
        """Their runs that ended so between the two, newest first, at most 200. A run whose state has a name of its
        own, as ``Completed(name="Idle")``, says that it had nothing to do, and isn't among them."""
        state = FlowRunFilterState(
            type=FlowRunFilterStateType(any_=[StateType.COMPLETED]), name=FlowRunFilterStateName(any_=["Completed"])
        )
        return self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                deployment_id=FlowRunFilterDeploymentId(any_=deployments),
                state=state,
                end_time=FlowRunFilterEndTime.model_validate({"after_": since, "before_": until}),
            ),
            sort=FlowRunSort.END_TIME_DESC,
            limit=PAGE,
        )

    def running(self, deployments: list[UUID]) -> list[FlowRun]:
        """Their runs that run now."""
        state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
        which = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=deployments), state=state)
        return self._client.read_flow_runs(flow_run_filter=which, limit=PAGE)

    def within(self, runs: list[UUID]) -> list[FlowRun]:
        """The runs of flows that these runs called."""
        which = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=runs))
        return self._client.read_flow_runs(flow_run_filter=which, limit=PAGE)

    def _flows(self, ids: set[UUID]) -> list[Flow]:
        return self._client.read_flows(flow_filter=FlowFilter(id=FlowFilterId(any_=list(ids)))) if ids else []

    def _ours(self, states: list[StateType], *flows: str) -> list[FlowRun]:
        return self._client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=list(flows or OURS))),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states))),
            limit=200,
        )
