"""Programs that can't live in our own environment, each in one that a clone installs once, under build/.

``python -m tests.environments`` installs them all, as `make test` does beforehand; else a test does so.
"""

import fcntl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[1] / "build"
PATIENCE = 200.0  # seconds that a test waits for an environment: less than its own timeout
AGAIN_AFTER = 3600.0  # seconds after a failure in which no test tries anew


@dataclass(frozen=True)
class Environment:
    """``name`` is its folder; ``wanted`` what pip is asked for."""

    name: str
    wanted: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return BUILD / self.name

    @property
    def stamp(self) -> Path:
        return self.folder / ".installed"

    @property
    def failed(self) -> Path:
        return self.folder.with_suffix(".failed")

    def program(self, name: str) -> str:
        """The path of one of its programs. Skips the test where there is no environment."""
        if why := self.install(PATIENCE):
            pytest.skip(f"no {self.name}: {why}")
        return str(self.folder / "bin" / name)

    def install(self, seconds: float) -> str | None:
        """Make the environment, once a clone. Returns why there is none, in pip's own words."""
        self.folder.parent.mkdir(exist_ok=True, parents=True)
        ends = time.monotonic() + seconds
        with self.folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of one suite install once
            if self.stamp.exists() and self.stamp.read_text() == " ".join(self.wanted):
                return None
            if self.failed.exists() and time.time() - self.failed.stat().st_mtime < AGAIN_AFTER:
                return self.failed.read_text()
            why = self._made(ends)
            if why is None:
                self.stamp.write_text(" ".join(self.wanted))
            else:
                self.failed.write_text(why)
            return why

    def _made(self, ends: float) -> str | None:
        python = str(self.folder / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.wanted]
        for command in ([sys.executable, "-m", "venv", str(self.folder)], pip):
            left = max(1.0, ends - time.monotonic())
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
            except subprocess.TimeoutExpired:
                return f"{' '.join(command[-2:])} took more than {left:.0f} s"
            if done.returncode:
                return f"{' '.join(self.wanted)} can't be installed: {done.stderr[-500:]}"
        return None


MLFLOW = Environment("mlflow-env", ("mlflow==3.17.*",))  # its whole self lowers versions of ours
AIRFLOW = Environment("airflow-env", ("apache-airflow==3.3.*",))
OAUTH = Environment("oauth-env", ("django-oauth-toolkit==3.4.*",))
ALL = [MLFLOW, AIRFLOW, OAUTH]


if __name__ == "__main__":
    for environment in ALL:
        environment.failed.unlink(missing_ok=True)
        if reason := environment.install(900):
            print(f"no {environment.name}, its tests are skipped: {reason}", file=sys.stderr)
    (BUILD / "environments.done").touch()
