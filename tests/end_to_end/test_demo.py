"""The demo as a command: a broken step is named and fails it, a wrong name is refused, nothing is left running."""

import subprocess
import sys
from pathlib import Path

import pytest

from firebreak.deployments.commands import REPOSITORY
from firebreak.deployments.demo import SABOTAGES
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "firebreak.deployments.demo", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)


def living_in(home: Path) -> list[str]:
    """Command lines of processes whose environment or arguments name this home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if str(home).encode() in (entry / "environ").read_bytes() + command:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_a_sabotaged_demo_names_the_step_and_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    done = demo("--sabotage", "answer", "--wait", "0", "--home", str(home))
    assert done.returncode == 1, done.stdout + done.stderr
    assert SABOTAGES["answer"].what in done.stdout
    assert "✗ answer" in done.stdout
    assert done.stdout.splitlines()[-1] == "FAILED at step answer"
    assert (home / "store.db").exists()  # it did run there
    until(lambda: not living_in(home), 60, "everything has ended")


def test_an_unknown_sabotage_is_refused_with_what_is_allowed() -> None:
    done = demo("--sabotage", "everything")
    assert done.returncode == 2
    assert all(name in done.stdout for name in ("everything", *SABOTAGES))
