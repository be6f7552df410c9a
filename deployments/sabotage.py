"""`make demo SABOTAGE=<step>`: each breaks one step for real, so that the demo must fail there and say so."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from prefect.client.orchestration import get_client
from prefect.states import Cancelled
from pydantic import SecretStr

from firebreak.blocks.guard import Guard
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.model_endpoint import ModelEndpoint
from firebreak.blocks.store.database import connect
from firebreak.blocks.workflow_runs import cancel
from firebreak.deployments.ports import free_port
from firebreak.deployments.scenario import DEPLOYMENT, Scenario
from firebreak.deployments.steps import asked_of
from firebreak.flows.shared import load_block


@dataclass(frozen=True)
class Sabotage:
    """What is broken, before which step, and how tests mend it afterwards."""

    before: str
    what: str
    do: Callable[[Scenario], None]
    undo: Callable[[Scenario], None]


def model_away(s: Scenario) -> None:
    endpoint = load_block(ModelEndpoint)
    endpoint.base_url = f"http://127.0.0.1:{free_port()}/v1"
    endpoint.save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]


def model_back(s: Scenario) -> None:
    endpoint = load_block(ModelEndpoint)
    endpoint.base_url = s.system.model_url
    endpoint.save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]


def _set_guard(inspect: bool, url: str) -> None:
    guard = load_block(Guard)
    guard.inspect, guard.store = inspect, IncidentStore(url=SecretStr(url))
    guard.save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]


def _guard_back(s: Scenario) -> None:
    _set_guard(True, s.system.store_url)


def sql(s: Scenario, statement: str) -> None:
    with connect(s.system.store_url).connect() as conn:
        conn.execute(sa.text(statement))
        conn.commit()


FORGET = "CREATE TRIGGER sabotage AFTER INSERT ON holds BEGIN DELETE FROM holds WHERE id = NEW.id; END"


def deployment_gone(name: str) -> Callable[[Scenario], None]:
    """End a deployment's runs, then delete it with its schedule and triggers."""

    def do(s: Scenario) -> None:
        with get_client(sync_client=True) as client:
            found = client.read_deployment_by_name(name)
            client.pause_deployment(found.id)
            cancel(client, [found.id], 10)
            client.delete_deployment(found.id)

    return do


def deployed(name: str) -> Callable[[Scenario], None]:
    """That one is made again, and no other: what is broken on purpose stays so."""

    def undo(s: Scenario) -> None:
        s.system.deploy(only=name)

    return undo


def gone(before: str, what: str, deployment: str) -> Sabotage:
    return Sabotage(before, what, deployment_gone(deployment), deployed(deployment))


def cancel_asking_run(s: Scenario) -> None:
    if asked := asked_of(s):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(asked.runs[-1]), Cancelled(message="sabotage"), force=True)


def delete_block(slug: str) -> Callable[[Scenario], None]:
    def do(s: Scenario) -> None:
        with get_client(sync_client=True) as client:
            client.delete_block_document(client.read_block_document_by_name("firebreak", slug).id)

    return do


def bootstrap_again(s: Scenario) -> None:
    s.system.bootstrap()


def _unguarded_redeploy(s: Scenario) -> None:
    """Reconcile is gone, and Prefect's side of the stop with it."""
    deployment_gone("reconcile/firebreak")(s)
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(DEPLOYMENT)
        client.upsert_global_concurrency_limit_by_name(f"deployment:{found.id}", 5)


SABOTAGES: dict[str, Sabotage] = {
    "answer": Sabotage("answer", "the model endpoint's address leads nowhere", model_away, model_back),
    "attack": Sabotage(
        "attack", "the guard inspects nothing", lambda s: _set_guard(False, s.system.store_url), _guard_back
    ),
    "find": gone("attack", "the log scan is gone", "scan-logs/interaction-log"),
    "contain": Sabotage(
        "attack", "the store forgets each hold", lambda s: sql(s, FORGET), lambda s: sql(s, "DROP TRIGGER sabotage")
    ),
    "refuse": Sabotage(
        "refuse",
        "the guard asks another store",
        lambda s: _set_guard(True, f"sqlite:///{s.system.home.path}/other.db"),
        _guard_back,
    ),
    "triage": gone("attack", "triage is gone", "triage/firebreak"),
    "ask": gone("attack", "respond is gone", "respond/firebreak"),
    "approve": Sabotage("approve", "the run that asks is cancelled", cancel_asking_run, lambda s: None),
    "stop": Sabotage(
        "approve", "the action that stops workflows is gone", delete_block("stop-workflow"), bootstrap_again
    ),
    "withstand": Sabotage(
        "withstand", "reconcile is gone, the limit is lifted", _unguarded_redeploy, deployed("reconcile/firebreak")
    ),
    "release": Sabotage(
        "release", "the action that lifts quarantines is gone", delete_block("quarantine-actor"), bootstrap_again
    ),
    "resume": Sabotage("resume", "the model endpoint's address leads nowhere", model_away, model_back),
}
