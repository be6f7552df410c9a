"""Child processes: started, restarted when they die, stopped with all they started.

Everything carries `FIREBREAK_SYSTEM=<id>` in its environment. A flow run's process has a session of
its own and outlives a killed worker, so neither groups nor parents find it; the mark in
/proc/<pid>/environ does. Where there is no /proc (macOS), only each program's process group is ended.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "FIREBREAK_SYSTEM"
POLL = 0.1
LONGEST_PAUSE = 30.0
STEADY = 30.0  # a program that lived this long starts again without a pause
LOG_BYTES = 10_000_000


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; False when the time is over first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)
    return True


def marked(system: str) -> list[int]:
    """Every live process of this user that a system started, itself or through others."""
    wanted = f"{MARK}={system}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return sorted(set(found) - {os.getpid()})


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def sweep(system: str, grace: float = 3.0) -> list[int]:
    """End whatever still carries the mark: asked first, then killed. Returns what was found."""
    found = marked(system)
    send(found, signal.SIGTERM)
    if found and not wait_until(lambda: not marked(system), grace):
        send(marked(system), signal.SIGKILL)
        wait_until(lambda: not marked(system), grace)
    return found


@dataclass
class Program:
    """A long-running child: what to run, where its output goes, and the process now running."""

    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    pause: float = 0.0
    due: float | None = None

    def start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.process = subprocess.Popen(
                self.argv,
                env=self.env,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops things in order
            )
        finally:
            os.close(descriptor)
        self.started = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """To the whole group: the program leads its own."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL."""
        if self.alive:
            self.signal(signal.SIGTERM)
            wait_until(lambda: not self.alive, grace)
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def tail(self, lines: int = 15) -> str:
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


class Watch:
    """A thread that starts dead programs again: at once the first time, then ever more slowly."""

    def __init__(self, on_restart: Callable[[Program], None] = lambda program: None) -> None:
        self._programs: list[Program] = []
        self._on_restart = on_restart
        self._stopped = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="firebreak-watch", daemon=True)

    def add(self, program: Program) -> None:
        self._programs.append(program)

    def remove(self, program: Program) -> None:
        """From now on it may die. Waits for a look at it that is under way."""
        with self._looking:
            self._programs.remove(program)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Afterwards nothing is started again."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(POLL):
            with self._looking:
                for program in list(self._programs):
                    self._look_after(program)

    def _look_after(self, program: Program) -> None:
        now = time.monotonic()
        if program.alive:
            return
        if program.due is None:
            if now - program.started >= STEADY:
                program.pause = 0.0
            program.due = now + program.pause
            program.pause = min(max(1.0, program.pause * 2), LONGEST_PAUSE)
        if now >= program.due:
            program.due = None
            program.restarts += 1
            try:
                program.start()
            except OSError as error:  # e.g. no memory for a process just now: the next round tries again
                program.log.open("a").write(f"could not start {program.name}: {error}\n")
            self._on_restart(program)
