"""A real MLflow server for tests, in an environment of its own, which a clone installs once.

``python -m tests.mlflow_server`` installs it, as `make test` does beforehand; a test does so where that wasn't done.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firebreak.deployments.ports import LOOPBACK, free_port
from tests.waiting import until

ENVIRONMENT = Path(__file__).parents[1] / "build" / "mlflow-env"
STAMP, FAILED = ENVIRONMENT / ".installed", ENVIRONMENT.with_suffix(".failed")
WANTED = "mlflow==3.17.*"  # its whole self lowers versions of ours, so it can't live beside them
SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
PATIENCE = 200.0  # seconds that a test waits for the environment: less than its own timeout
AGAIN_AFTER = 3600.0  # seconds after a failure in which no test tries anew


def install(seconds: float) -> str | None:
    """Make the environment, once a clone. Returns why there is none, in pip's own words."""
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    ends = time.monotonic() + seconds
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of one suite install once
        if STAMP.exists() and STAMP.read_text() == WANTED:
            return None
        if FAILED.exists() and time.time() - FAILED.stat().st_mtime < AGAIN_AFTER:
            return FAILED.read_text()
        why = _made(ends)
        if why is None:
            STAMP.write_text(WANTED)
        else:
            FAILED.write_text(why)
        return why


def _made(ends: float) -> str | None:
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(ENVIRONMENT)], [*pip, WANTED]):
        left = max(1.0, ends - time.monotonic())
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            return f"{' '.join(command[-2:])} took more than {left:.0f} s"
        if done.returncode:
            return f"{WANTED} can't be installed: {done.stderr[-500:]}"
    return None


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its address. What it printed is in ``folder/output``; its files go through it (proxied artifacts)."""
    if why := install(PATIENCE):
        pytest.skip(f"no MLflow server: {why}")
    url = f"http://{LOOPBACK}:{free_port()}"
    command = [str(ENVIRONMENT / "bin" / "mlflow"), "server", "--host", LOOPBACK, "--port", url.rsplit(":", 1)[1]]
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


if __name__ == "__main__":
    FAILED.unlink(missing_ok=True)
    if reason := install(900):
        raise SystemExit(f"no MLflow server, its tests are skipped: {reason}")
    STAMP.touch()
