"""A workflow that exists for a test only: its flow, its prefect.yaml, and a file it writes to when it runs."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from firebreak.deployments.system import System

FLOW = """
import os, time
from pathlib import Path
from prefect import flow

@flow(name="throwaway")
def throwaway(seconds: float = 0) -> None:
    effects = Path(os.environ["THROWAWAY_EFFECTS"])
    with effects.open("a") as file:
        file.write("began\\n")
    time.sleep(seconds)
    with effects.open("a") as file:
        file.write("ended\\n")
"""

TABLE = """
pull: []
definitions:
  pool: &pool
    name: throwaway
    job_variables: {command: python -m prefect.engine}
deployments:
- name: scheduled
  entrypoint: throwaway_flow.throwaway
  work_pool: *pool
  schedules: [{interval: 3600}]
  concurrency_limit: {limit: 3, collision_strategy: CANCEL_NEW, grace_period_seconds: 60}
- name: triggered
  entrypoint: throwaway_flow.throwaway
  work_pool: *pool
  triggers:
  - type: event
    match: {"prefect.resource.id": "throwaway.bell"}
    expect: ["throwaway.bell.rung"]
"""


@dataclass
class Throwaway:
    """Where the workflow's files are, and the server it is deployed to."""

    folder: Path
    server: System

    @classmethod
    def make(cls, folder: Path, server: System) -> "Throwaway":
        (folder / "throwaway_flow.py").write_text(FLOW)
        (folder / "prefect.yaml").write_text(TABLE)
        return cls(folder, server)

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder), "THROWAWAY_EFFECTS": str(self.folder / "effects")}

    @property
    def effects(self) -> list[str]:
        file = self.folder / "effects"
        return file.read_text().splitlines() if file.exists() else []

    def prefect(self, *arguments: str) -> None:
        argv = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        env = self.server.env | self.env
        run = {"env": env, "cwd": self.folder, "stdin": subprocess.DEVNULL}
        done = subprocess.run(argv, **run, capture_output=True, text=True, timeout=120)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr

    def deploy(self) -> None:
        self.prefect("deploy", "--all")
