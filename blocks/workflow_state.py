"""How a workflow's deployments are set: what a stop remembers for the release. JSON-able."""

from collections.abc import Sequence
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from pydantic import BaseModel, Field

RUNS_KEPT = 100


class LimitState(BaseModel):
    """A global concurrency limit: the deployment's own (`deployment:<id>`) or a shared one."""

    id: UUID
    name: str
    value: int


class ScheduleState(BaseModel):
    id: UUID
    active: bool


class DeploymentState(BaseModel):
    """One deployment's controls."""

    id: UUID
    name: str
    paused: bool
    schedules: list[ScheduleState] = Field(default_factory=list)
    limit: LimitState | None = None
    runs: dict[str, list[UUID]] = Field(
        default_factory=dict, description=f"unfinished runs by state name; at most {RUNS_KEPT} of each"
    )

    @classmethod
    def of(cls, deployment: DeploymentResponse, runs: Sequence[FlowRun]) -> "DeploymentState":
        limit = deployment.global_concurrency_limit
        by_state: dict[str, list[UUID]] = {}
        for run in runs:
            ids = by_state.setdefault(run.state_name or "unknown", [])
            if len(ids) < RUNS_KEPT:
                ids.append(run.id)
        return cls(
            id=deployment.id,
            name=deployment.name,
            paused=deployment.paused,
            schedules=[ScheduleState(id=s.id, active=s.active) for s in deployment.schedules],
            limit=LimitState(id=limit.id, name=limit.name, value=limit.limit) if limit else None,
            runs=by_state,
        )


class ControlsState(BaseModel):
    """All deployments of one workflow (the flow's name)."""

    workflow: str
    deployments: list[DeploymentState] = Field(default_factory=list)

    def of(self, deployment_id: UUID, name: str) -> DeploymentState | None:
        """By id, or by name for one that was deleted and made again."""
        by_id = [d for d in self.deployments if d.id == deployment_id]
        by_name = [d for d in self.deployments if d.name == name]
        return next(iter(by_id + by_name), None)

    def missing(self, present: Sequence[tuple[UUID, str]]) -> list[str]:
        """Names of deployments that aren't there any more."""
        ids, names = {key for key, _ in present}, {name for _, name in present}
        return [d.name for d in self.deployments if d.id not in ids and d.name not in names]
