"""Looking at a running system from outside: starting runs in every way there is, and whether each is refused."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid4

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import emit_event
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture

from firebreak.blocks.store.approvals import Asked
from firebreak.flows.approval import form_of

QUESTION = "How do I reset my password?"
DIRECT = """
import sys
from firebreak.flows.answer_tickets import answer_tickets
from firebreak.flows.tickets import Ticket
answer_tickets(tickets=[Ticket(user=sys.argv[1], text=sys.argv[2])])
"""


@dataclass(frozen=True)
class Seen:
    """What became of an attempt."""

    ok: bool
    seen: str


def start(deployment: str, parameters: dict[str, Any]) -> str:
    """Make a run through the API; its id."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return str(client.create_flow_run_from_deployment(found.id, parameters=parameters).id)


def artifact(artifact_key: str) -> str | None:
    """The id of the newest artifact with this key, if there is one."""
    with get_client(sync_client=True) as client:
        found = client.read_latest_artifacts(
            artifact_filter=ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[artifact_key]))
        )
    return str(found[0].latest_id) if found else None


def has_form(asked: Asked) -> bool:
    """Has the suspended run saved its form yet? (It is suspended first.)"""
    return form_of(_read(asked.runs[-1])) is not None


def refusals(env: dict[str, str], deployment: str, user: str, patience: float) -> dict[str, Seen]:
    """Try the workflow by an API-made run, an automation-made run and a direct call, all at once."""
    ticket = {"user": user, "text": QUESTION}
    direct = subprocess.Popen(
        [sys.executable, "-c", DIRECT, user, QUESTION],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    api_made = start(deployment, {"tickets": [ticket]})
    by_automation = _start_by_automation(deployment, [ticket], patience)
    try:
        output = direct.communicate(timeout=patience)[0]
    except subprocess.TimeoutExpired:
        direct.kill()
        output = direct.communicate()[0]
    stopped = direct.returncode != 0 and "WorkflowStopped" in output
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "no output")
    return {
        "an API-made run": _refused(api_made, patience),
        "an automation-made run": _refused(by_automation, patience),
        "a direct call": Seen(stopped, "refused by the guard: WorkflowStopped" if stopped else last[:200]),
    }


def _start_by_automation(deployment: str, tickets: list[dict[str, str]], patience: float) -> str | None:
    """Let an automation of our own start the deployment; the run's id, or None when no run came."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
    name = f"probe.{uuid4().hex}"
    made = Automation(
        name=name,
        trigger=EventTrigger(expect={name}, posture=Posture.Reactive, threshold=1),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=found.id,
                parameters={"tickets": {"__prefect_kind": "json", "value": json.dumps(tickets)}},
                job_variables={},
            )
        ],
    ).create(_sync=True)  # type: ignore[call-arg]  # prefect's async_dispatch adds it
    automation = cast(Automation, made)
    try:
        before = _runs_of(deployment)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            # An automation takes effect a moment after it was made, and an event before that is lost.
            emit_event(event=name, resource={"prefect.resource.id": name})
            again = time.monotonic() + 2
            while time.monotonic() < again:
                if new := _runs_of(deployment) - before:
                    return sorted(new)[0]
                time.sleep(0.2)
        return None
    finally:
        automation.delete(_sync=True)  # type: ignore[call-arg]


def _runs_of(deployment: str) -> set[str]:
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        only = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[found.id]))
        runs = client.read_flow_runs(flow_run_filter=only, limit=200)
    return {str(run.id) for run in runs if run.created_by and run.created_by.type == "AUTOMATION"}


def _refused(run_id: str | None, patience: float) -> Seen:
    """Refused: it waits for a slot that is not given (Late: past its time and not started), was cancelled, or
    failed on the guard."""
    if run_id is None:
        return Seen(False, "the run was never made")
    deadline = time.monotonic() + patience
    while True:
        run = _read(run_id)
        state = run.state
        if state is not None:
            if state.name in ("AwaitingConcurrencySlot", "Late") or state.type is StateType.CANCELLED:
                return Seen(True, f"not started by Prefect ({state.name})")
            if state.type is StateType.FAILED and "WorkflowStopped" in (state.message or ""):
                return Seen(True, "refused by the guard: WorkflowStopped")
            if state.type in (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED):
                return Seen(False, f"{state.name}: {(state.message or '')[:150]}")
        if time.monotonic() > deadline:
            return Seen(False, f"still {state.name if state else 'without a state'} after {patience:.0f} s")
        time.sleep(0.2)


def _read(run_id: str) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(UUID(run_id))
