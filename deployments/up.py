"""The system that stays: `python -m firebreak.deployments.up start`, and `stop`.

`start` returns when everything runs; a supervisor of its own session stays behind, restarts what dies, and
ends everything at SIGTERM, which `stop` sends it. The home directory's lock says which process that is.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from firebreak.deployments.commands import Options
from firebreak.deployments.environment import MODEL_KEY
from firebreak.deployments.home import AlreadyRunning, Home, read_json, write_private
from firebreak.deployments.processes import sweep, wait_until
from firebreak.deployments.system import StartFailed, System

PORT, MODEL_PORT = 4200, 4280
START_SECONDS = 300.0
STOP_SECONDS = 45.0
CLIENT = ("PREFECT_HOME", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING")

console = Console(highlight=False)


class Interrupted(Exception):
    """Somebody asked the supervisor to end."""


def start(args: argparse.Namespace) -> int:
    """Start a supervisor and wait until its system runs."""
    home = Home.at(args.home)
    if holder := home.holder():
        console.print(f"already running (process {holder}): {read_json(home.state).get('ui_url', 'still starting')}")
        return 1
    argv = [sys.executable, "-m", "firebreak.deployments.up", *sys.argv[1:], "--foreground"]
    supervisor = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def settled() -> bool:
        return supervisor.poll() is not None or read_json(home.state).get("pid") == supervisor.pid

    try:
        ready = wait_until(settled, START_SECONDS) and supervisor.poll() is None
    except KeyboardInterrupt:
        ready = False
    if ready:
        return 0
    if supervisor.poll() is None:
        supervisor.terminate()
    return supervisor.wait() or 1


def supervise(args: argparse.Namespace) -> int:
    """Run the system until SIGTERM, SIGINT or SIGHUP."""

    def interrupted(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)  # stopping is not to be interrupted
        raise Interrupted

    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, interrupted)
    options = Options(
        port=args.port,
        model_port=MODEL_PORT,
        password=args.password,
        model_url=args.model_url,
        model_name=args.model_name,
        model_key=os.environ.get(MODEL_KEY),
        policy=args.policy,
    )
    try:
        with System(args.home, options, console) as system:
            announce(system)
            if os.getsid(0) == os.getpid():  # started by `start`: let go of its terminal
                log = os.open(system.home.logs / "up.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(log, 1)
                os.dup2(log, 2)
            while True:
                signal.pause()
    except Interrupted:
        return 0
    except (AlreadyRunning, StartFailed) as error:
        console.print(f"[red]{type(error).__name__}[/red]: ", end="")
        console.print(str(error), markup=False)
        return 1


def announce(system: System) -> None:
    """Where everything is, and how to reach it."""
    settings = {key: value for key, value in system.env.items() if key in CLIENT}
    lines = [f"export {key}={shlex.quote(value)}\n" for key, value in settings.items()]
    write_private(system.home.client_env, "".join(lines))
    console.print(f"Prefect UI    {system.ui_url}")
    if system.password:
        console.print(f"  sign in     firebreak:<the content of {system.home.path / 'password'}>")
    console.print(f"model         {system.model_url}")
    console.print(f"incidents     {system.home.store}")
    home = shlex.quote(str(system.home.path))
    console.print(f"approvers     python -m firebreak.deployments.approvers enrol NAME --home {home}")
    console.print(f"for a shell   source {shlex.quote(str(system.home.client_env))}")


def stop(args: argparse.Namespace) -> int:
    """End the supervisor and all it started; also what a killed supervisor left behind."""
    if not args.home.is_dir():
        console.print(f"nothing runs in {args.home}: there is no such directory")
        return 0
    home = Home.at(args.home)
    system = str(read_json(home.state).get("system", ""))
    holder = home.holder()
    if holder:
        with suppress(ProcessLookupError):
            os.kill(holder, signal.SIGTERM)
        if not wait_until(lambda: home.holder() is None, STOP_SECONDS):
            console.print(f"supervisor {holder} did not end in {STOP_SECONDS:g} s; killed")
            with suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
            wait_until(lambda: home.holder() is None, 5)
    left = sweep(system) if system else []
    home.state.unlink(missing_ok=True)
    home.client_env.unlink(missing_ok=True)
    if holder or left:
        console.print("stopped" + (f"; {len(left)} processes had been left behind" if left else ""))
    else:
        console.print(f"nothing runs in {home.path}")
    return 0


def parser() -> argparse.ArgumentParser:
    env = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m firebreak.deployments.up", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("start", start), ("stop", stop)):
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("--home", type=Path, default=Path(env("FIREBREAK_HOME", ".firebreak")))
        command.set_defaults(run=function)
    command = commands.choices["start"]
    command.add_argument("--port", type=int, default=PORT, help="the Prefect server's; another if it is taken")
    command.add_argument("--no-password", dest="password", action="store_false", help="on loopback for anyone")
    command.add_argument("--model-url", default=env("FIREBREAK_MODEL_URL"), help="default: a simulated model")
    command.add_argument("--model-name", default=env("FIREBREAK_MODEL_NAME"), help=f"its key: ${MODEL_KEY}")
    command.add_argument("--policy", type=Path, help="response policy; default: the shipped one")
    command.add_argument("--foreground", action="store_true", help="stay; Ctrl-C stops everything")
    return parser


def main() -> int:
    args = parser().parse_args()
    run = supervise if args.command == "start" and args.foreground else args.run
    return int(run(args))


if __name__ == "__main__":
    sys.exit(main())
