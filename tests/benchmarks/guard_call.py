"""What the guard adds to a model call, on SQLite: `python -m tests.benchmarks.guard_call`.

The whole guarded call (what stands, the rules on prompt and answer, the log line) beside the same call without a guard,
in the same run; the model answers at once, so that the difference is the guard's. Then its parts, each by itself.
The prompt is 1 kB. Aim: what the guard adds stays under 2 ms at the median, a hundredth of a quick model's answer.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from firebreak.blocks.guard import Guard
from firebreak.blocks.guarded_call import rules_beside
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store_memory import memory_of
from firebreak.detectors.facts import Facts
from firebreak.detectors.proof import prove
from firebreak.detectors.records import Record
from tests.benchmarks.guard_refusal import share, timed

AIM_MS = 2.0
PROMPT = ("My parcel with order number 4711 has not arrived, although the page says it was delivered. " * 12)[:1024]
ANSWER = "Thank you for writing. A colleague looks into it and answers within one working day. " * 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        store = IncidentStore(url=SecretStr(f"sqlite:///{folder}/store.db"))
        guard = Guard(store=store, log=InteractionLog(path=Path(folder) / "calls.log"))
        guard.canary("answer-tickets")
        memory, rules, last = memory_of(store), rules_beside(own=None), list[Record]()

        def bare() -> str:
            return f"{ANSWER} ({len(PROMPT)} characters)"

        def guarded() -> None:
            with guard.call(prompt=PROMPT, user="ada", token_id="key", model="m", workflow="answer-tickets") as call:
                call.answered(bare(), prompt_tokens=256, response_tokens=64)
            last[:] = [call.record]

        whole = {"the call without a guard": timed(bare, calls), "the call with the guard": timed(guarded, calls)}
        (record,) = last
        parts: dict[str, Callable[[], object]] = {
            "what stands against it": lambda: memory.standing("answer-tickets", "ada", "key"),
            "facts, asked of the store": lambda: store.open().facts(),
            "facts, a second old at most": memory.facts,
            "rules on prompt and answer": lambda: rules.inspect(record, memory.facts()),
            "rules without facts": lambda: rules.inspect(record, Facts()),
            "the log line": lambda: guard.log.append(record),
        }
        single = {name: timed(part, calls) for name, part in parts.items()}
    print(f"{'ms, of ' + str(calls) + ' calls each':32}{'median':>9}{'p95':>9}{'p99':>9}{'max':>9}")
    for name, spent in (whole | single).items():
        print(f"{name:32}" + "".join(f"{share(spent, part):9.3f}" for part in (0.5, 0.95, 0.99, 1)))
    began = time.process_time()
    prove(rules)
    print(f"the rules' proof at start-up takes {(time.process_time() - began) * 1000:.1f} ms, what it imports aside")
    without, with_guard = whole.values()
    median, p99 = (share(with_guard, part) - share(without, part) for part in (0.5, 0.99))
    print(
        f"the guard adds {median:.3f} ms at the median and {p99:.3f} ms at the 99th percentile; the aim {AIM_MS:g} ms"
    )
    raise SystemExit(0 if median < AIM_MS else f"the guard added {median:.2f} ms: over the aim")


if __name__ == "__main__":
    main()
