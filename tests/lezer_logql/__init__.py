"""Grafana's own LogQL grammar for tests, in a folder of its own, which a clone installs once.

``python -m tests.lezer_logql`` installs it, as `make test` does beforehand; a test does so where that wasn't done.
"""

import fcntl
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / "build" / "lezer-logql"
STAMP, FAILED = ENVIRONMENT / ".installed", ENVIRONMENT.with_suffix(".failed")
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev")
PATIENCE = 120.0  # seconds that a test waits for the packages: less than its own timeout
AGAIN_AFTER = 3600.0  # seconds after a failure in which no test tries anew


def install(seconds: float) -> str | None:
    """Fetch the grammar, once a clone. Returns why there is none, in npm's own words."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "node and npm are not installed here"
    ENVIRONMENT.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package-lock.json").read_text()
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of one suite install once
        if STAMP.exists() and STAMP.read_text() == wanted:
            return None
        if FAILED.exists() and time.time() - FAILED.stat().st_mtime < AGAIN_AFTER:
            return FAILED.read_text()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, ENVIRONMENT / name)
        try:
            done = subprocess.run(
                INSTALL, cwd=ENVIRONMENT, capture_output=True, text=True, timeout=seconds, check=False
            )
            why = f"npm can't install it: {done.stderr[-500:]}" if done.returncode else None
        except subprocess.TimeoutExpired:
            why = f"npm took more than {seconds:.0f} s"
        if why is None:
            STAMP.write_text(wanted)
        else:
            FAILED.write_text(why)
        return why


def errors(expressions: list[str]) -> list[list[str]]:
    """For each LogQL expression, the texts at which the grammar finds an error. Skips the test where there is none."""
    if why := install(PATIENCE):
        pytest.skip(f"no LogQL grammar: {why}")
    command = ["node", str(HERE / "parse.mjs"), str(ENVIRONMENT)]
    done = subprocess.run(
        command, input=json.dumps(expressions), capture_output=True, text=True, timeout=60, check=True
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found
