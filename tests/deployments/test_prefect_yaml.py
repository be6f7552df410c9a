"""prefect.yaml: every entrypoint loads, every event exists, and deploying twice makes each thing once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.flows import load_flow_from_entrypoint

from firebreak.blocks.events import Event
from firebreak.deployments.bootstrap import put_work_pool
from firebreak.deployments.commands import REPOSITORY, Options
from firebreak.deployments.system import System
from tests.waiting import until

TABLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = TABLE["deployments"]
EXPECTED = {
    "answer-tickets/support",
    "scan-logs/interaction-log",
    "scan-archive/firebreak",
    "triage/firebreak",
    "respond/firebreak",
    "release/firebreak",
    "reconcile/firebreak",
    "scan-drift/support-tickets",
    "retrain/firebreak",
    "renew-reference/firebreak",
    "calibrate/firebreak",
    "acknowledge/firebreak",
}


def test_every_entrypoint_is_a_flow_of_the_expected_name() -> None:
    found = {f"{load_flow_from_entrypoint(d['entrypoint']).name}/{d['name']}" for d in DEPLOYMENTS}
    assert found == EXPECTED


def test_every_deployment_is_tagged_so_that_reconcile_sees_its_runs() -> None:
    assert all("firebreak" in d["tags"] and d["description"] for d in DEPLOYMENTS)


def test_triggers_name_events_that_are_sent() -> None:
    named = {event for d in DEPLOYMENTS for trigger in d.get("triggers", []) for event in trigger["expect"]}
    assert named == {Event.INCIDENT_OPENED.value, Event.INCIDENT_TRIAGED.value, Event.DRIFT_CONFIRMED.value}
    assert all(trigger["expect"] for d in DEPLOYMENTS for trigger in d.get("triggers", []))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[System]:
    """One of its own: events that other tests sent must start nothing here."""
    with System(tmp_path, Options(only_server=True)) as server, server.clients():
        yield server


@pytest.fixture
def client(server: System) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        put_work_pool(client)
        yield client


def deployed(client: SyncPrefectClient) -> dict[str, Any]:
    """What deploying made, by name."""
    flows = {flow.id: flow.name for flow in client.read_flows()}
    found = {f"{flows[d.flow_id]}/{d.name}": d for d in client.read_deployments() if d.work_pool_name == "firebreak"}
    ours = {d.id: name for name, d in found.items()}
    return {
        "deployments": {name: str(d.id) for name, d in found.items()},
        "schedules": {name: [_seconds(s.schedule) for s in d.schedules] for name, d in found.items() if d.schedules},
        "limits": {n: d.global_concurrency_limit.limit for n, d in found.items() if d.global_concurrency_limit},
        "triggers": sorted(
            (ours[action.deployment_id], automation.name)  # type: ignore[union-attr, index]  # checked below
            for automation in client.read_automations()
            for action in automation.actions
            if getattr(action, "deployment_id", None) in ours
        ),
        "pull": {json.dumps(d.pull_steps) for d in found.values()},
    }


def _seconds(schedule: Any) -> float:
    return float(schedule.interval.total_seconds())


@pytest.mark.integration
def test_deployed_twice_each_thing_is_there_once_and_events_start_runs(
    server: System, client: SyncPrefectClient
) -> None:
    server.deploy()
    first = deployed(client)
    assert set(first["deployments"]) == EXPECTED
    assert first["schedules"] == {
        "scan-logs/interaction-log": [60],
        "scan-drift/support-tickets": [300],
        "reconcile/firebreak": [20],
    }
    assert first["limits"] == {"scan-logs/interaction-log": 1, "scan-drift/support-tickets": 1}
    assert [name for name, _ in first["triggers"]] == ["respond/firebreak", "retrain/firebreak", "triage/firebreak"]
    assert first["pull"] == {"[]"}
    server.deploy()
    assert deployed(client) == first

    def runs(name: str) -> list[FlowRun]:
        return [r for r in client.read_flow_runs(limit=200) if str(r.deployment_id) == first["deployments"][name]]

    about = {"prefect.resource.id": "firebreak.incident.7"}
    emit_event(Event.INCIDENT_TRIAGED.value, resource=about, payload={"incident_id": 7, "severity": "high"})
    until(lambda: runs("respond/firebreak"), 30, "respond was started")
    assert [run.parameters for run in runs("respond/firebreak")] == [{"incident_id": 7}]  # a number, not "7"
    assert runs("triage/firebreak") == []
    emit_event(Event.INCIDENT_OPENED.value, resource=about, payload={"incident_id": 7, "severity": "high"})
    until(lambda: runs("triage/firebreak"), 30, "triage was started")
    assert len(runs("respond/firebreak")) == 1
