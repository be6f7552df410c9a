"""The programs of a system, as command lines: server, worker, simulated model, bootstrap, deploy."""

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from firebreak.deployments.ports import LOOPBACK

PYTHON = [sys.executable, "-m"]
REPOSITORY = Path(__file__).resolve().parent.parent
PREFECT_YAML = REPOSITORY / "prefect.yaml"


@dataclass(frozen=True)
class Options:
    """What to start, and where. A port of None: any free one."""

    port: int | None = None
    model_port: int | None = None
    password: bool = False
    model_url: str | None = None
    model_name: str | None = None
    model_key: str | None = None
    policy: Path | None = None
    dataset_spec: Path | None = None
    only_server: bool = False


def server(port: int) -> list[str]:
    return [*PYTHON, "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]


def worker(pool: str) -> list[str]:
    return [*PYTHON, "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", "firebreak"]


def simulated_model(port: int, port_file: Path) -> list[str]:
    return [*PYTHON, "firebreak.deployments.simulated_model", "--port", str(port), "--port-file", str(port_file)]


def bootstrap(options: Options, home: Path, model_url: str) -> list[str]:
    """The model's key is not among them: it goes through the environment."""
    argv = [*PYTHON, "firebreak.deployments.bootstrap", "--home", str(home), "--model-url", model_url]
    more = {
        "--model-name": options.model_name,
        "--policy": options.policy,
        "--dataset-spec": options.dataset_spec,
    }
    return argv + [word for flag, value in more.items() if value for word in (flag, str(value))]


def deploy(file: Path = PREFECT_YAML) -> list[str]:
    return [*PYTHON, "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]


def only(deployment: str) -> str:
    """The text of a prefect.yaml with one of the deployments, named as `triage/firebreak`.

    Prefect's own `--name` finds a deployment of a module entrypoint by its last part only, which six of ours share.
    Errors: LookupError.
    """
    flow, name = deployment.split("/")
    table = yaml.safe_load(PREFECT_YAML.read_text(encoding="utf-8"))
    entrypoint = flow.replace("-", "_")
    ours = [d for d in table["deployments"] if (d["entrypoint"].rpartition(".")[2], d["name"]) == (entrypoint, name)]
    if not ours:
        raise LookupError(f"{PREFECT_YAML} has no deployment {deployment}")
    return yaml.safe_dump(table | {"deployments": ours})
