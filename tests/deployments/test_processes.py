"""Processes, ports and the home directory, with real programs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from firebreak.deployments.home import AlreadyRunning, Home
from firebreak.deployments.ports import LOOPBACK, free_port
from firebreak.deployments.processes import MARK, Program, Watch, marked, sweep
from tests.waiting import until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def program(folder: Path, argv: list[str], system: str = "") -> Program:
    env = {**os.environ, MARK: system or uuid4().hex}
    return Program("sleeper", argv, env, folder, folder / "sleeper.log")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Watch, Program]]:
    watch, sleeper = Watch(), program(tmp_path, SLEEPER)
    sleeper.start()
    watch.add(sleeper)
    watch.start()
    yield watch, sleeper
    watch.stop()
    sleeper.stop(grace=1)


def test_a_killed_program_is_started_again_within_a_second(watched: tuple[Watch, Program]) -> None:
    _, sleeper = watched
    first = sleeper.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: sleeper.alive and sleeper.pid != first, 1, "the program was started again")
    assert sleeper.restarts == 1


def test_a_removed_program_may_die(watched: tuple[Watch, Program]) -> None:
    watch, sleeper = watched
    watch.remove(sleeper)
    sleeper.stop(grace=1)
    another = program(sleeper.cwd, [sys.executable, "-c", ""])
    another.start()
    watch.add(another)
    until(lambda: another.restarts, 5, "the watch looked again")
    watch.remove(another)
    another.stop(grace=1)
    assert (sleeper.alive, sleeper.restarts) == (False, 0)


def test_a_program_that_cannot_live_is_tried_ever_more_slowly(tmp_path: Path) -> None:
    watch, broken = Watch(), program(tmp_path, [sys.executable, "-c", "raise SystemExit('no')"])
    broken.start()
    watch.add(broken)
    watch.start()
    try:
        until(lambda: broken.restarts >= 3, 10, "three restarts")
        assert broken.pause >= 4
        assert "no" in broken.tail()
    finally:
        watch.stop()
        broken.stop(grace=0)


def test_sweep_ends_a_grandchild_in_a_session_of_its_own_that_ignores_sigterm(tmp_path: Path) -> None:
    if not Path("/proc/self/environ").exists():
        pytest.skip("only Linux shows another process's environment")
    system = uuid4().hex
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True)"
    started = program(tmp_path, [sys.executable, "-c", parent], system)
    started.start()
    assert started.process is not None
    started.process.wait()
    until(lambda: "up" in started.tail(), 10, "the grandchild ignores SIGTERM")
    orphans = marked(system)
    assert len(orphans) == 1
    assert sweep(system, grace=0.5) == orphans
    assert marked(system) == []


def test_a_taken_port_is_not_chosen() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_a_home_is_private_and_held_by_one(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    assert home.path.stat().st_mode & 0o077 == 0
    assert home.holder() is None
    hold = f"""
import sys, time
from pathlib import Path
from firebreak.deployments.home import Home
Home.at(Path({str(home.path)!r})).lock()
print("held", flush=True)
time.sleep(600)
"""
    holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert home.holder() == holder.pid
        with pytest.raises(AlreadyRunning, match="make down"):
            home.lock()
    finally:
        holder.kill()
        holder.communicate()
    assert home.holder() is None  # the number is still in the file, and is nobody's
    os.close(home.lock())
    assert home.holder() is None


def test_the_password_is_made_once_and_private(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    password = home.password()
    assert len(password) >= 24
    assert home.password() == password
    assert (tmp_path / "password").stat().st_mode & 0o077 == 0
