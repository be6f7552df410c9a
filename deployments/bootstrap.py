"""Prepare a Prefect server for `prefect deploy --all`: work pool, blocks, policy, the first version of the router.

python -m firebreak.deployments.bootstrap --home DIR [--store-url URL] [--model-url URL] [--model-name NAME]
    [--registry-url URL] [--dataset-spec FILE] [--policy FILE] [--overwrite]

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
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.promote_model import PromoteModel
from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.registry_errors import RegistryError
from firebreak.blocks.renew_reference import RenewReference
from firebreak.blocks.roll_back_model import RollBackModel
from firebreak.blocks.start_retraining import StartRetraining
from firebreak.blocks.stop_workflow import StopWorkflow
from firebreak.blocks.store import Store, StoreError
from firebreak.blocks.workflow_controls import WorkflowControls
from firebreak.deployments.documents import NAME, Documents, sha256
from firebreak.deployments.environment import MODEL_KEY
from firebreak.deployments.home import Home, read_json, write_private
from firebreak.detectors.drift.spec import SpecError
from firebreak.flows import reconcile, router, scan_drift, scan_logs
from firebreak.flows.policy import PolicyError, expired, read_policy

SIMULATED_MODEL = "simulated-support-1"
NO_KEY = "no-key-given"  # servers on loopback often need none, but a client must send something
DATASET = "support-tickets"

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
    registry_url = args.registry_url or _registry_url(documents, home)
    yield "model-registry", documents.put(ModelRegistry(tracking_uri=SecretStr(registry_url), artifacts=home.models))
    registry = documents.load(ModelRegistry)
    yield "roll-back-model", documents.put(RollBackModel(registry=registry))
    yield "promote-model", documents.put(PromoteModel(registry=registry))
    yield "start-retraining", documents.put(StartRetraining())
    yield "renew-reference", documents.put(RenewReference())
    spec = args.dataset_spec.resolve() if args.dataset_spec else _dataset_spec(documents)
    log = documents.load(InteractionLog)
    dataset = MonitoredDataset(spec=spec, log=log, reports=home.reports, registry=registry)
    yield "monitored-dataset", documents.put(dataset, DATASET)


def _store_url(documents: Documents, home: Home) -> str:
    """The one already stored stays: a store is not left behind because a flag was forgotten."""
    now = documents.find("incident-store")
    return f"sqlite:///{home.store}" if now is None else str(now.data["url"])


def _registry_url(documents: Documents, home: Home) -> str:
    """The one already stored stays, as the store's does."""
    now = documents.find("model-registry")
    return f"sqlite:///{home.registry}" if now is None else str(now.data["tracking_uri"])


def _dataset_spec(documents: Documents) -> Path | None:
    """The one already stored stays; None: the shipped one."""
    now = documents.find("monitored-dataset", DATASET)
    return Path(now.data["spec"]) if now is not None and now.data.get("spec") else None


def put_router(registry: ModelRegistry, routers: dict[str, str]) -> str:
    """The shipped router as the first version and champion, once in each registry. Errors: RegistryError.

    ``routers``: the digest of a registry's address and model to the version that was champion at the time.
    """
    key = sha256([registry.tracking_uri.get_secret_value(), registry.model])
    if key in routers:
        return "unchanged"  # without asking: MLflow takes seconds to import
    champion = registry.champion()
    if champion is None:
        texts, labels = router.read_tickets()
        data = {"firebreak.data": sha256([texts, labels])}
        version = registry.register(
            router.train(texts, labels), parameters={"rows": len(texts)}, metrics={}, tags=data, report=None
        )
        registry.set_champion(version.number, None)
    routers[key] = champion.number if champion else version.number
    return "kept: it has a champion already" if champion else "trained on the shipped tickets, version 1"


def check_spec(spec: Path, home: Home) -> None:
    """Errors: SpecError (it can't be used, or it is another dataset's, whose block must have that one's name)."""
    try:
        name = MonitoredDataset(spec=spec, log=InteractionLog(path=home.interaction_log)).definition().dataset
    except SpecError:
        raise
    except ValueError as error:  # what the log doesn't hold
        raise SpecError(f"{spec}: {error}") from None
    if name != DATASET:
        raise SpecError(f"{spec}: dataset: {name!r}; bootstrap writes the block of {DATASET}: save one of that name")


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
    over = expired(policy, store.now.date(), str(file or shipped))
    now = store.registers.policy()
    if file is None and now is not None and written.get("policy") != sha256(now):
        return "kept: not the shipped one (--policy FILE replaces it)"
    store.registers.put_policy(text, policy.tokens, policy.allow)
    if file is None:
        written["policy"] = sha256(text)
    else:
        written.pop("policy", None)
    return "; ".join(["unchanged" if now == text else "put into the store", *over])


def bootstrap(args: argparse.Namespace) -> Iterator[Done]:
    """Each thing and what was done about it. Errors, with nothing done yet: SpecError."""
    home = Home.at(args.home)
    if args.dataset_spec:
        check_spec(args.dataset_spec, home)
    written = read_json(home.written)
    try:
        with get_client(sync_client=True) as client:
            yield f"work pool {NAME}", put_work_pool(client)
            documents = Documents(client, written.setdefault("documents", {}), args.overwrite)
            for name, done in put_documents(documents, home, args):
                yield f"block {name}/{DATASET if name == 'monitored-dataset' else NAME}", done
            yield "router", put_router(documents.load(ModelRegistry), written.setdefault("routers", {}))
            store = documents.load(IncidentStore).open()
            yield "policy", put_policy(store, args.policy, written)
            store.health.expect(f"scan-logs/{NAME}", scan_logs.INTERVAL_SECONDS)
            store.health.expect(f"scan-drift/{DATASET}", scan_drift.INTERVAL_SECONDS)
            store.health.expect("reconcile", reconcile.INTERVAL_SECONDS)
    finally:
        write_private(home.written, json.dumps(written, indent=2))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firebreak.deployments.bootstrap", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="directory for the store and the interaction log")
    parser.add_argument("--store-url", help="default: the one set before, else a SQLite file in the home directory")
    parser.add_argument("--model-url", help="an OpenAI-compatible endpoint's base URL")
    parser.add_argument("--model-name", default=SIMULATED_MODEL)
    parser.add_argument("--registry-url", help="MLflow's; default: the one set before, else a SQLite file in the home")
    parser.add_argument("--dataset-spec", type=Path, help="spec of support-tickets; default: the one set before")
    parser.add_argument("--policy", type=Path, help="a response policy; default: the one that comes with Firebreak")
    parser.add_argument("--overwrite", action="store_true", help="replace block documents that somebody changed")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        for thing, done in bootstrap(args):
            print(f"{thing}: {done}", flush=True)
    except (PolicyError, SpecError, StoreError, RegistryError) as error:
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
