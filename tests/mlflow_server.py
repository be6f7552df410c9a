"""A real MLflow server for tests, in an environment of its own."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firebreak.deployments.ports import LOOPBACK, free_port
from tests.environments import MLFLOW
from tests.waiting import until

SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its address. What it printed is in ``folder/output``; its files go through it (proxied artifacts)."""
    program = MLFLOW.program("mlflow")
    url = f"http://{LOOPBACK}:{free_port()}"
    command = [program, "server", "--host", LOOPBACK, "--port", url.rsplit(":", 1)[1]]
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    with (folder / "output").open("w") as output:
        server = subprocess.Popen(
            [*command, "--workers", "1", *places],
            cwd=folder,
            stdout=output,
            stderr=output,
            env={**os.environ, **SETTINGS},
            start_new_session=True,  # it has children: they are ended with it
        )
    try:
        until(lambda: server.poll() is not None or _healthy(url), 90, "the MLflow server")
        assert server.poll() is None, (folder / "output").read_text()
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow on a SQLite file, which takes a second to make, so once a session."""
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/made/mlflow.db"


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.integration)])
def tracking_uri(request: pytest.FixtureRequest) -> str:
    """Both places a registry can be in. Shared by the tests: take a model name of your own."""
    uri: str = request.getfixturevalue("mlflow_file" if request.param == "sqlite" else "mlflow_url")
    return uri
