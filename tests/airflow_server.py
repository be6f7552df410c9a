"""A real Airflow 3 for tests, in an environment of its own: its API server alone, on SQLite, so runs stay queued."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firebreak.deployments.ports import LOOPBACK, free_port
from tests.environments import AIRFLOW
from tests.waiting import until

USERS = {"admin": "admin-password-0123", "viewer": "viewer-password-0123"}
DAG = """
from datetime import datetime
from airflow.sdk import dag, task

for name in ("support", "nightly"):
    @dag(dag_id=name, schedule=None, start_date=datetime(2026, 1, 1), catchup=False, is_paused_upon_creation=False)
    def workflow():
        @task
        def answer():
            pass
        answer()
    workflow()
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its address. What it printed is in ``folder/output``. Two DAGs, `support` and `nightly`, not paused."""
    program, url = AIRFLOW.program("airflow"), f"http://{LOOPBACK}:{free_port()}"
    (folder / "dags").mkdir()
    (folder / "dags" / "workflows.py").write_text(DAG)
    (folder / "passwords.json").write_text(json.dumps(USERS))
    settings = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
    }
    python_path = {"PYTHONPATH": ""}  # the suite's own would come before Airflow's
    env = {**os.environ, **settings, **python_path, "PATH": f"{Path(program).parent}:{os.environ['PATH']}"}
    with (folder / "output").open("w") as output:
        for preparation in (["db", "migrate"], ["dags", "reserialize"]):
            done = subprocess.run([program, *preparation], env=env, stdout=output, stderr=output, timeout=120)
            assert done.returncode == 0, (folder / "output").read_text()[-3000:]
        server = subprocess.Popen(
            [program, "api-server", "--host", LOOPBACK, "--port", url.rsplit(":", 1)[1], "--workers", "1"],
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it has children: they are ended with it
        )
    try:
        until(lambda: server.poll() is not None or _answers(url), 120, "the Airflow API server")
        assert server.poll() is None, (folder / "output").read_text()[-3000:]
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v2/version", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
