"""Prepare a Prefect server for `prefect deploy --all`: work pool, blocks, policy.

python -m firebreak.deployments.bootstrap --home DIR [--store-url URL] [--model-url URL] [--model-name NAME]
    [--policy FILE] [--overwrite]

Idempotent. The model's key comes from the environment variable FIREBREAK_MODEL_KEY, never from a flag.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.workers.process import ProcessWorker
from pydantic import SecretStr

from firebreak.blocks.guard import Guard
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.model_endpoint import ModelEndpoint
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.stop_workflow import StopWorkflow
from firebreak.blocks.store import Store, StoreError
from firebreak.blocks.workflow_controls import WorkflowControls
from firebreak.deployments.documents import NAME, Documents, sha256
from firebreak.deployments.environment import MODEL_KEY
from firebreak.deployments.home import Home, read_json, write_private
from firebreak.flows import reconcile, scan_logs
from firebreak.flows.policy import PolicyError, read_policy

SIMULATED_MODEL = "simulated-support-1"
NO_KEY = "no-key-given"  # servers on loopback often need none, but a client must send something

Done = tuple[str, str]


def put_work_pool(client: SyncPrefectClient) -> str:
    try:
        client.read_work_pool(NAME)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        description = "Firebreak's flows, each run a process beside the worker."
        client.create_work_pool(
            WorkPoolCreate(name=NAME, type="process", description=description, base_job_template=template)
        )
        return "created"
    return "unchanged"


def put_documents(documents: Documents, home: Home, args: argparse.Namespace) -> Iterator[Done]:
    """Every block document, those that others refer to first."""
    store_url = args.store_url or _store_url(documents, home)
    yield "incident-store", documents.put(IncidentStore(url=SecretStr(store_url)))
    yield "interaction-log", documents.put(InteractionLog(path=home.interaction_log))
    if args.model_url:
        endpoint = ModelEndpoint(
            base_url=args.model_url, model=args.model_name, api_key=SecretStr(_model_key(documents, args.model_url))
        )
        yield "model-endpoint", documents.put(endpoint)
    elif documents.find("model-endpoint") is None:
        yield "model-endpoint", f"missing: give --model-url, and {MODEL_KEY} in the environment"
    guard = Guard(store=documents.load(IncidentStore), log=documents.load(InteractionLog))
    yield "guard", documents.put(guard)
    yield "workflow-controls", documents.put(WorkflowControls())
    yield "stop-workflow", documents.put(StopWorkflow(controls=documents.load(WorkflowControls)))
    yield "quarantine-actor", documents.put(QuarantineActor())
    yield "notify-team", documents.put(NotifyTeam())


def _store_url(documents: Documents, home: Home) -> str:
    """The one already stored stays: a store is not left behind because a flag was forgotten."""
    now = documents.find("incident-store")
    return f"sqlite:///{home.store}" if now is None else str(now.data["url"])


def _model_key(documents: Documents, model_url: str) -> str:
    """From the environment; else the one already stored for this address stays."""
    if key := os.environ.get(MODEL_KEY):
        return key
    now = documents.find("model-endpoint")
    if now is not None and now.data.get("base_url") == model_url:
        return str(now.data["api_key"])
    return NO_KEY


def put_policy(store: Store, file: Path | None, written: dict[str, object]) -> str:
    """The given policy, or the shipped one unless another was put before. Errors: PolicyError, StoreError."""
    shipped = Path(str(files("firebreak.deployments") / "policy.yml"))
    text, policy = read_policy(file or shipped)
    now = store.registers.policy()
    if file is None and now is not None and written.get("policy") != sha256(now):
        return "kept: not the shipped one (--policy FILE replaces it)"
    store.registers.put_policy(text, policy.tokens)
    if file is None:
        written["policy"] = sha256(text)
    else:
        written.pop("policy", None)
    return "unchanged" if now == text else "put into the store"


def bootstrap(args: argparse.Namespace) -> Iterator[Done]:
    """Each thing and what was done about it."""
    home = Home.at(args.home)
    written = read_json(home.written)
    try:
        with get_client(sync_client=True) as client:
            yield f"work pool {NAME}", put_work_pool(client)
            documents = Documents(client, written.setdefault("documents", {}), args.overwrite)
            for name, done in put_documents(documents, home, args):
                yield f"block {name}/{NAME}", done
            store = documents.load(IncidentStore).open()
            yield "policy", put_policy(store, args.policy, written)
            store.health.expect(f"scan-logs/{NAME}", scan_logs.INTERVAL_SECONDS)
            store.health.expect("reconcile", reconcile.INTERVAL_SECONDS)
    finally:
        write_private(home.written, json.dumps(written, indent=2))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firebreak.deployments.bootstrap", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="directory for the store and the interaction log")
    parser.add_argument("--store-url", help="default: the one set before, else a SQLite file in the home directory")
    parser.add_argument("--model-url", help="an OpenAI-compatible endpoint's base URL")
    parser.add_argument("--model-name", default=SIMULATED_MODEL)
    parser.add_argument("--policy", type=Path, help="a response policy; default: the one that comes with Firebreak")
    parser.add_argument("--overwrite", action="store_true", help="replace block documents that somebody changed")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        for thing, done in bootstrap(args):
            print(f"{thing}: {done}", flush=True)
    except (PolicyError, StoreError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 2
    except (PrefectException, httpx.HTTPError) as error:
        print(
            f"bootstrap: Prefect's API: {error}\nDoes the server run, and does PREFECT_API_URL name it?",
            file=sys.stderr,
        )
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
