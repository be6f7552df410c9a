"""`make demo`: a whole Firebreak on loopback, an attack and a drift of a live workflow, and the answers, step by step.

Exit 0 only when every step was seen to work; otherwise the step that did not is named.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from types import FrameType

import yaml
from rich.console import Console
from rich.table import Table

from firebreak.deployments import drift_sabotage, drift_steps, sabotage, steps
from firebreak.deployments.commands import Options
from firebreak.deployments.home import Home
from firebreak.deployments.scenario import Scenario, StepBroken
from firebreak.deployments.system import StartFailed, System
from firebreak.detectors.drift.spec import SHIPPED

HOMES = Path.cwd() / ".firebreak"
STEPS = steps.STEPS | drift_steps.STEPS
SABOTAGES = sabotage.SABOTAGES | drift_sabotage.SABOTAGES


def play(scenario: Scenario, console: Console, sabotage: str | None = None) -> str | None:
    """All steps in order, each shown with its time; the name of the step that broke, or None."""
    for name, step in STEPS.items():
        if sabotage and SABOTAGES[sabotage].before == name:
            console.print(f"[magenta]sabotage: {SABOTAGES[sabotage].what}[/magenta]")
            SABOTAGES[sabotage].do(scenario)
        began = scenario.elapsed
        try:
            step(scenario)
        except StepBroken as broken:
            console.print(f"[bold red]✗ {name}[/bold red]: {broken}")
            return name
        console.print(f"[green]✓[/green] {name} [dim]({scenario.elapsed - began:.1f} s)[/dim]")
    return None


def summary(scenario: Scenario) -> Table:
    """Seconds since the malicious call began, as the store recorded them."""
    table = Table(title="From the malicious call to the release")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    for what, seconds in scenario.times.items():
        table.add_row(what, f"{seconds:.3f}" if seconds < 10 else f"{seconds:.1f}")
    return table


def accuracies(scenario: Scenario) -> Table:
    """How often the router chose the queue that a person chose."""
    table = Table(title="The router's accuracy")
    table.add_column("asked about")
    table.add_column("right", justify="right")
    for what, share in scenario.accuracy.items():
        table.add_row(what, f"{share:.0%}")
    return table


def small_dataset(home: Path) -> Path:
    """The shipped spec with the demo's small windows, in a file of the demo's own.

    Without latency: how busy the machine is that the demo runs on is no trouble of the workflow.
    """
    spec = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    del spec["columns"]["latency_ms"]
    spec |= {
        "window": {"rows": drift_steps.WINDOW},
        "reference": {"renew": "last-approved", "rows": drift_steps.REFERENCE},
        "minimum_sample": drift_steps.WINDOW,
    }
    file = Home.at(home).path / "support_tickets.yml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return file


def trial_policy(home: Path) -> Path:
    """The shipped policy without the approvers' identity: whoever watches the demo decides, and stays unidentified."""
    shipped = (files("firebreak.deployments") / "policy.yml").read_text(encoding="utf-8")
    file = Home.at(home).path / "policy.yml"
    file.write_text(shipped.replace("\n  identity: totp\n", "\n  identity: none\n"), encoding="utf-8")
    return file


def run(sabotage: str | None, wait_seconds: float, home: Path, console: Console) -> int:
    """One demo; the exit code."""
    console.rule("Firebreak: an attack on a live AI workflow, a drift of its tickets, and the answers")
    console.print("starting everything on loopback (no key, no network, nothing installed outside .venv)")
    options = Options(dataset_spec=small_dataset(home), policy=trial_policy(home))
    with System(home, options, console) as system, system.clients():
        console.print(f"\nPrefect UI: [link={system.ui_url}]{system.ui_url}[/link]   store: {system.home.store}\n")
        scenario = Scenario(system, console.print, person_seconds=wait_seconds)
        broken = play(scenario, console, sabotage)
        console.print(summary(scenario))
        if scenario.accuracy:
            console.print(accuracies(scenario))
        scenario.show_addresses()
    console.print(f"stopped everything; logs and store are kept in {home}")
    if broken:
        console.print(f"[bold red]FAILED at step {broken}[/bold red]")
        return 1
    console.print("[bold green]every step was verified[/bold green]")
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--sabotage", default="", help=f"break one step: {', '.join(SABOTAGES)}")
    parser.add_argument("--wait", type=float, default=60, help="seconds a person has to answer the form")
    parser.add_argument("--home", type=Path, default=None, help="a new directory for the demo's data")
    arguments = parser.parse_args(argv)
    console = Console()
    if arguments.sabotage and arguments.sabotage not in SABOTAGES:
        console.print(f"SABOTAGE={arguments.sabotage}: no such step; allowed: {', '.join(SABOTAGES)}")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    HOMES.mkdir(mode=0o700, exist_ok=True)
    home = arguments.home or Path(tempfile.mkdtemp(prefix="demo-", dir=HOMES))
    _forget_old_demos(home)
    try:
        return run(arguments.sabotage or None, arguments.wait, home, console)
    except StartFailed as error:
        console.print(f"[bold red]FAILED at step start[/bold red]: {error}")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is stopped")
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _forget_old_demos(current: Path, keep: int = 3) -> None:
    """Demos leave their store and logs to look at; only the newest few are kept."""
    old = sorted(HOMES.glob("demo-*"), key=lambda path: path.stat().st_mtime)
    for path in [p for p in old if p != current][:-keep]:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
