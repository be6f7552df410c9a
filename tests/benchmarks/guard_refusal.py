"""How long a refusal inline takes, on SQLite: `python -m tests.benchmarks.guard_refusal`.

A refused call asks the store, writes the attempt to the log and raises. Beside it, on the same store and log: a
guarded call that goes through, and the same call without a guard. The model answers at once, in this process,
so that what is left is the guard's own time. Aim: a refusal takes under 10 ms.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from firebreak.blocks.guard import Guard, GuardRefusal
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Batch
from tests.stores import finding

AIM_MS = 10.0
PROMPT = "How do I change the address on my invoice? " * 20


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each call, sorted; the first ones, which load and connect, are left out."""
    spent = []
    for _ in range(times + 20):
        began = time.perf_counter()
        call()
        spent.append((time.perf_counter() - began) * 1000)
    return sorted(spent[20:])


def share(spent: list[float], part: float) -> float:
    """The nearest-rank percentile."""
    return spent[max(0, math.ceil(part * len(spent)) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        store = IncidentStore(url=SecretStr(f"sqlite:///{folder}/store.db"))
        guard = Guard(store=store, log=InteractionLog(path=Path(folder) / "calls.log"))
        opened = store.open().report(Batch(findings=[finding("r", actor="eve")]), "scan-logs").opened[0][0]
        store.open().holds.add("stop-workflow", "stopped", "stopped", opened, "benchmark")

        def model(prompt: str) -> str:
            return f"Thank you for writing about {len(prompt)} characters."

        def guarded(workflow: str, user: str) -> None:
            with guard.call(prompt=PROMPT, user=user, token_id="key", model="m", workflow=workflow) as call:
                call.answered(model(call.prompt))

        def refused(workflow: str, user: str) -> None:
            try:
                guarded(workflow, user)
            except GuardRefusal:
                return
            raise SystemExit(f"the call of {user} in {workflow} was not refused")

        rows = {
            "unguarded": timed(lambda: model(PROMPT), calls),
            "guarded, goes on": timed(lambda: guarded("answer-tickets", "ada"), calls),
            "refused: user in quarantine": timed(lambda: refused("answer-tickets", "eve"), calls),
            "refused: workflow stopped": timed(lambda: refused("stopped", "ada"), calls),
        }
    print(f"{'ms, of ' + str(calls) + ' calls each':30}{'median':>9}{'p95':>9}{'p99':>9}{'max':>9}")
    for name, spent in rows.items():
        figures = [share(spent, part) for part in (0.5, 0.95, 0.99, 1)]
        print(f"{name:30}" + "".join(f"{figure:9.3f}" for figure in figures))
    worst = max(share(spent, 0.99) for name, spent in rows.items() if name.startswith("refused"))
    ratio = share(rows["refused: workflow stopped"], 0.5) / share(rows["guarded, goes on"], 0.5)
    print(f"a refusal takes {ratio:.2f} of a guarded call; its p99 is {worst:.2f} ms, the aim {AIM_MS:g} ms")
    raise SystemExit(0 if worst < AIM_MS else f"a refusal took {worst:.2f} ms (p99): over the aim")


if __name__ == "__main__":
    main()
