"""A whole Firebreak system on loopback: Prefect server, simulated model, worker, deployments."""

import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import httpx
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME, temporary_settings
from rich.console import Console

from firebreak.blocks.store.approvers import KEY_VARIABLE
from firebreak.deployments import commands
from firebreak.deployments.commands import Options
from firebreak.deployments.environment import MODEL_KEY, client_settings, scrubbed, server_settings
from firebreak.deployments.home import Home, read_json, write_private
from firebreak.deployments.ports import LOOPBACK, free_port
from firebreak.deployments.processes import MARK, Program, Watch, marked, send, sweep, wait_until

POOL = "firebreak"
SERVER_SECONDS = 90.0
STEP_SECONDS = 180.0


class StartFailed(RuntimeError):
    """A part of the system did not start; the message ends with what it last printed."""


class System:
    """Starts, watches and stops the programs of one home directory. A context manager.

    Errors of `start`: AlreadyRunning, StartFailed (nothing is left running).
    """

    def __init__(self, home: Path, options: Options | None = None, console: Console | None = None) -> None:
        self.home = Home.at(home)
        self.options = options or Options()
        self.console = console or Console(quiet=True)
        self.id = secrets.token_hex(8)
        self.port = 0
        self.model_port = 0
        self.programs: dict[str, Program] = {}
        self._password = self.home.password() if self.options.password else None
        self._watch = Watch(on_restart=self._restarted)
        self._lock: int | None = None

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/api"

    @property
    def ui_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def model_url(self) -> str:
        """The model endpoint's base URL, ending in /v1 for the simulated one."""
        return self.options.model_url or f"http://{LOOPBACK}:{self.model_port}/v1"

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.home.store}"

    @property
    def password(self) -> str | None:
        """The server's password; the user is `firebreak`. None: the server has none."""
        return self._password

    @property
    def env(self) -> dict[str, str]:
        """The environment of a client, a worker or a flow run of this system."""
        client = client_settings(self.api_url, self.home.prefect, self._password)
        return scrubbed() | client | {MARK: self.id}

    @contextmanager
    def clients(self) -> Iterator[None]:
        """This process's Prefect clients speak to this system, whatever profile its user has."""
        password = f"firebreak:{self._password}" if self._password else None
        ours = {PREFECT_API_URL: self.api_url, PREFECT_API_AUTH_STRING: password, PREFECT_HOME: self.home.prefect}
        with temporary_settings(updates=ours):
            yield
            # While the server is there: at exit Prefect would try for a minute to hand over what is left.
            APILogWorker.drain_all()
            EventsWorker.drain_all()

    def __enter__(self) -> "System":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._lock = self.home.lock()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell's `&` leaves SIGINT ignored; children inherit that, and a worker then ignores SIGTERM.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._clear_leftovers()
        self.port = free_port(self.options.port)
        if self.options.only_server:
            self._start_server()
        else:
            with ThreadPoolExecutor(2) as pool:
                model = pool.submit(self._start_model)
                self._start_server()
                model.result()
                self.bootstrap()
                self.start_worker()  # comes up while the deployments are made
                self.deploy()
                self._start_scan()
        self._watch.start()
        self._write_state()

    def _clear_leftovers(self) -> None:
        """A supervisor that was killed left its programs behind; nobody else may own this home now."""
        former = read_json(self.home.state).get("system")
        if isinstance(former, str) and (found := sweep(former)):
            self.console.print(f"ended {len(found)} processes left by a killed supervisor")

    def _start_server(self) -> None:
        with self._step("Prefect server"):
            for _ in range(3):  # the port may be taken between looking and listening
                server = self._program(
                    "server",
                    commands.server(self.port),
                    self.env | server_settings(self.api_url, self.home.prefect, self._password),
                )
                if self._comes_up(server):
                    break
                server.stop(grace=2)
                self.port = free_port()
            else:
                raise StartFailed(f"the Prefect server did not start:\n{server.tail()}")
            self._watch.add(server)
        self.console.print(f"    {self.ui_url}")

    def _comes_up(self, server: Program) -> bool:
        wait_until(lambda: not server.alive or self._server_answers(), SERVER_SECONDS)
        return server.alive and self._server_answers()

    def _start_model(self) -> None:
        if self.options.model_url:
            return
        self.model_port = free_port(self.options.model_port)
        port_file = self.home.path / "model-port"
        port_file.unlink(missing_ok=True)
        argv = commands.simulated_model(self.model_port, port_file)
        with self._step("simulated model"):
            model = self._program("model", argv, self.env)
            if not wait_until(lambda: port_file.exists() or not model.alive, STEP_SECONDS) or not model.alive:
                raise StartFailed(f"the simulated model did not start:\n{model.tail()}")
            self.model_port = int(port_file.read_text())  # another one, where its own was taken meanwhile
            self._watch.add(model)

    def _start_scan(self) -> None:
        """The schedule's first run comes up to a minute after the deploy; this one comes now."""
        with self.clients(), get_client(sync_client=True) as client:
            scan = client.read_deployment_by_name("scan-logs/interaction-log")
            client.create_flow_run_from_deployment(scan.id)

    def start_worker(self, extra: dict[str, str] | None = None, pool: str = POOL) -> None:
        """A process worker, watched like the rest; `extra` goes into its environment. It alone has the approver key."""
        key = {KEY_VARIABLE: self.home.approver_key()}
        self._watch.add(self._program("worker", commands.worker(pool), self.env | key | (extra or {})))

    def stop_worker(self) -> None:
        """End the worker and the flow runs it started; nothing starts it again."""
        if worker := self.programs.pop("worker", None):
            self._watch.remove(worker)
            others = {program.pid for program in self.programs.values()}
            worker.signal(signal.SIGTERM)
            send(set(marked(self.id)) - others, signal.SIGTERM)
            wait_until(lambda: not worker.alive and not set(marked(self.id)) - others, 10)
            send(set(marked(self.id)) - others, signal.SIGKILL)
            worker.stop(grace=1)

    def _server_answers(self) -> bool:
        try:
            return httpx.get(f"{self.api_url}/health", timeout=2, trust_env=False).status_code in (200, 401)
        except httpx.HTTPError:
            return False

    def bootstrap(self) -> None:
        """Work pool, blocks, policy, automation; as often as you like. Errors: StartFailed."""
        key = {MODEL_KEY: self.options.model_key} if self.options.model_key else {}
        self._command("bootstrap", commands.bootstrap(self.options, self.home.path, self.model_url), self.env | key)

    def deploy(self, only: str | None = None) -> None:
        """`prefect deploy --all`, or one deployment (`triage/firebreak`); as often as you like. Errors: StartFailed."""
        file = commands.PREFECT_YAML
        if only:
            file = self.home.path / "prefect.yaml"
            file.write_text(commands.only(only), encoding="utf-8")
        self._command("deployments", commands.deploy(file), self.env, cwd=commands.REPOSITORY)

    def _program(self, name: str, argv: list[str], env: dict[str, str]) -> Program:
        program = Program(name, argv, env, self.home.path, self.home.logs / f"{name}.log")
        program.start()
        self.programs[name] = program
        return program

    def _command(self, name: str, argv: list[str], env: dict[str, str], cwd: Path | None = None) -> None:
        with self._step(name):
            done = subprocess.run(
                argv,
                env=env,
                cwd=cwd or self.home.path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=STEP_SECONDS,
            )
            (self.home.logs / f"{name}.log").write_text(done.stdout + done.stderr)
            if done.returncode:
                raise StartFailed(f"{name} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.console.print(f"  {name} [dim]{time.monotonic() - began:.1f} s[/dim]")

    def _write_state(self) -> None:
        state = {
            "system": self.id,
            "pid": os.getpid(),
            "api_url": self.api_url,
            "ui_url": self.ui_url,
            "model_url": self.model_url,
            "store_url": self.store_url,
            "password_file": str(self.home.path / "password") if self._password else None,
            "programs": {name: program.pid for name, program in self.programs.items()},
        }
        write_private(self.home.state, json.dumps(state, indent=2))

    def _restarted(self, program: Program) -> None:
        self.console.print(f"  {program.name} died and was started again (restart {program.restarts})")
        self._write_state()

    def stop(self) -> None:
        """Worker and flow runs first, so that their last states still reach the server; nothing is left."""
        self._watch.stop()
        self.stop_worker()
        for name in ("model", "server"):
            if program := self.programs.get(name):
                program.stop(grace=8)
        sweep(self.id)
        self.programs.clear()
        if self._lock is not None:
            self.home.state.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
