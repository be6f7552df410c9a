"""200 incidents at once on a real server and worker: `python -m tests.benchmarks.incident_storm`.

One of them is stuck in its step, forty want a person, the last one is critical. Beside it the same spread over half a
minute. Aim: at most 10 flow runs, none lost, the critical one triaged within 15 s. The ratio is to a run for each
event (opened, triaged), as an automation starts them by itself.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from firebreak.deployments.commands import Options
from firebreak.deployments.demo import small_dataset
from firebreak.deployments.system import System
from tests.flows.drills.storm import storm

RUNS, SECONDS = 10, 15.0
PLUGIN = str(Path(__file__).parents[1] / "end_to_end" / "plugin")  # the action that gets stuck


def main() -> None:
    """A line for each storm; SystemExit names each aim missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=200)
    total = parser.parse_args().incidents
    sys.path.insert(0, PLUGIN)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PLUGIN, os.environ.get("PYTHONPATH")]))
    missed: list[str] = []
    for seconds in (0.0, 30.0):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            with System(home, Options(dataset_spec=small_dataset(home))) as system, system.clients():
                made = storm(system, total, seconds, patience=600)
        runs = sum(made.runs.values())
        events = 2 * total - made.states.get("triaged", 0)  # opened each, and triaged those that have a plan
        print(
            f"{total} incidents in {seconds:g} s: {runs} flow runs ({made.runs}), {events / runs:.0f} times fewer "
            f"than a run for each event; critical one, last: triaged after {made.critical:.1f} s, person asked after "
            f"{made.answered:.1f} s; all after {made.all:.0f} s; {made.states}; breaker incidents: {made.halted}; "
            f"lost: {made.lost}",
            flush=True,
        )
        if runs > RUNS:
            missed.append(f"in {seconds:g} s: {runs} flow runs, not {RUNS}")
        if made.critical > SECONDS:
            missed.append(f"in {seconds:g} s: critical one after {made.critical:.1f} s, not {SECONDS:g} s")
        if made.lost:
            missed.append(f"in {seconds:g} s: {made.lost} incidents lost")
    raise SystemExit(f"under the aim: {'; '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
