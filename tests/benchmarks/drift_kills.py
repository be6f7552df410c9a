"""Retraining, roll-back and drift scan killed (SIGKILL) at step boundaries: `python -m tests.benchmarks.drift_kills`.

The kills are tests, run here by themselves so that they can be counted: after each one, champion, alias, reference
and incident are looked at, and the next run has to finish the work once. Aim: all of them.
"""

import os
import subprocess
import sys

from firebreak.deployments.commands import REPOSITORY

WHAT = {
    "retraining": "tests/flows/test_retrain_runs.py",
    "retraining by an external service": "tests/flows/test_retraining_outside.py",
    "roll-back": "tests/blocks/test_model_actions.py",
    "drift scan": "tests/flows/test_scan_drift.py",
}


def main() -> None:
    """One line for each; SystemExit names what failed."""
    failed = []
    for what, file in WHAT.items():
        argv = [sys.executable, "-m", "pytest", "-q", "-k", "killed", "--no-header", "-p", "no:cacheprovider", file]
        done = subprocess.run(argv, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, timeout=900)
        print(f"{what}: {done.stdout.strip().splitlines()[-1]}", flush=True)
        if done.returncode:
            failed.append(what)
            print(done.stdout[-3000:])
    if failed:
        raise SystemExit(f"under the aim: {', '.join(failed)}")


if __name__ == "__main__":
    main()
