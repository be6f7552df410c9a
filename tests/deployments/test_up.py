"""make up and make down: started, healed, stopped, with nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from firebreak.deployments.home import Home, read_json
from firebreak.deployments.processes import marked
from tests.waiting import until

pytestmark = pytest.mark.integration


def up(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "firebreak.deployments.up", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=240)


def state(home: Path) -> dict[str, Any]:
    return read_json(Home(home).state)


def answers(home: Path) -> int:
    try:
        return httpx.post(f"{state(home)['api_url']}/flow_runs/count", json={}, timeout=2).status_code
    except (httpx.HTTPError, KeyError):
        return 0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    up("stop", "--home", str(tmp_path / "home"))


def test_a_whole_life(home: Path) -> None:
    started = up("start", "--home", str(home))
    assert started.returncode == 0, started.stdout + started.stderr
    first = state(home)
    assert first["ui_url"] in started.stdout
    password = (home / "password").read_text()
    assert password not in started.stdout + json.dumps(first)
    assert answers(home) == 401  # nobody without the password
    assert up("start", "--home", str(home)).returncode == 1
    assert state(home) == first

    for name in ("server", "worker"):
        os.kill(first["programs"][name], signal.SIGKILL)
    changed = ("server", "worker")
    until(lambda: all(state(home)["programs"][n] != first["programs"][n] for n in changed), 3, "both started again")
    until(lambda: answers(home) == 401, 60, "the server answers again")

    settings = {PREFECT_API_URL: first["api_url"], PREFECT_API_AUTH_STRING: f"firebreak:{password}"}
    with temporary_settings(updates=settings), get_client(sync_client=True) as client:
        follow = client.read_deployment_by_name("scan-logs/interaction-log").id
        until(
            lambda: any(
                run.deployment_id == follow and run.state_type is StateType.RUNNING
                for run in client.read_flow_runs(limit=200)
            ),
            90,
            "a scan runs",
            every=2,
        )
    programs = set(state(home)["programs"].values())
    assert set(marked(first["system"])) > programs  # a flow run's process besides

    began = time.monotonic()
    stopped = up("stop", "--home", str(home))
    assert (stopped.returncode, "stopped" in stopped.stdout) == (0, True)
    assert time.monotonic() - began < 40
    assert marked(first["system"]) == []
    assert not Home(home).state.exists()
    assert "nothing runs" in up("stop", "--home", str(home)).stdout


def test_what_a_killed_supervisor_leaves_is_ended(home: Path) -> None:
    code = f"""
import signal
from pathlib import Path
from firebreak.deployments.commands import Options
from firebreak.deployments.system import System
with System(Path({str(home)!r}), Options(only_server=True)):
    signal.pause()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: state(home).get("pid") == supervisor.pid, 90, "the system runs")
    system = state(home)["system"]
    supervisor.kill()
    supervisor.wait()
    assert len(marked(system)) == 1
    stopped = up("stop", "--home", str(home))
    assert "left behind" in stopped.stdout
    assert marked(system) == []


def test_what_cannot_start_is_said_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yml"
    policy.write_text("version: 7\n")
    failed = up("start", "--home", str(home), "--policy", str(policy))
    assert failed.returncode == 1
    assert str(policy) in failed.stdout.replace("\n", "")
    assert "version" in failed.stdout
    assert Home(home).holder() is None
    assert not Home(home).state.exists()
