"""How often ordinary traffic raises an alarm, and how soon a change does: `python -m tests.benchmarks.usage_rates`.

Twenty workflows, each with a token of its own, over thirty days of ordinary traffic: day and night, weekends, bursts,
slow noise, windows in which everything is a little worse, a blip of errors every few days. Every window is judged as
`scan-logs` does, under the shipped rules. Then, at several hours of the day, errors, latency and cost per call are
doubled and a token spends five times as much: how long until the alarm stands.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import Finding
from firebreak.detectors.rules import RuleSet, load_rules
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import GROWTH, NANO, SECONDS, WIDTH, Counts
from firebreak.detectors.usage.review import Reviewed, review
from firebreak.detectors.usage.window import UsageWindow

DAY = 24 * 3600 // SECONDS  # windows
BEGAN = 20_000 * 86_400 * 1_000_000  # a Monday or not: the weekend moves with the workflow
WARM_UP = 8  # days before which the detection delay isn't measured
LEAST_CALLS = 50  # in the hour of the change: fewer say nothing, and night is quiet
LEAST_ERRORS = 0.04  # of the calls, after the change: the rule wants two of a hundred more
FOLLOWED = 36  # windows after a change: three hours


@dataclass(frozen=True)
class Change:
    """What happens to a workflow from one window on."""

    errors: float = 1.0
    latency: float = 1.0
    cost: float = 1.0
    calls: float = 1.0


CHANGES = {
    "errors x2": (Change(errors=2), "usage-error-rate"),
    "errors x5": (Change(errors=5), "usage-error-rate"),
    "p95 x2": (Change(latency=2), "usage-latency"),
    "cost per call x2": (Change(cost=2), "usage-cost-per-call"),
    "token's calls x5": (Change(calls=5), "usage-token-calls"),
    "token's spend x5": (Change(calls=5), "usage-token-spend"),
}


class Workflow:
    """One workflow's ordinary traffic, by a seed."""

    def __init__(self, seed: int, days: int) -> None:
        rng = self.rng = np.random.default_rng(seed)
        windows = days * DAY
        hour = np.arange(windows) % DAY / DAY * 24
        day = (np.arange(windows) // DAY + seed) % 7
        office = np.exp(-(((hour - 14 + 12) % 24 - 12) ** 2) / 30)
        shape = (0.1 + office) * np.where(day >= 5, rng.uniform(0.2, 1.0), 1.0)
        burst = np.ones(windows)
        for start in rng.integers(0, windows, days):
            burst[start : start + rng.integers(1, 8)] = rng.uniform(1.5, 3)
        self.mean_calls = float(np.exp(rng.uniform(np.log(4), np.log(150))))  # of a window in the afternoon
        self.load = shape * burst * np.exp(_slow(rng, windows, 0.2))
        self.error_rate = float(np.exp(rng.uniform(np.log(0.002), np.log(0.05))))
        self.errors = self.error_rate * np.exp(_slow(rng, windows, 0.2))
        for start in rng.integers(0, windows, days // 4):
            self.errors[start] = 0.3  # a blip, of one window
        self.refusals = rng.uniform(0.001, 0.03) * np.exp(_slow(rng, windows, 0.2))
        busy = 1 + 0.3 * np.minimum(self.load, 1.5)
        self.latency = rng.uniform(300, 4000) * busy * np.exp(_slow(rng, windows, 0.08))
        self.cost = rng.uniform(0.001, 0.05) * np.exp(_slow(rng, windows, 0.1))

    def windows(self, first: int, last: int, change: Change | None = None) -> list[Reviewed]:
        change, rng = change or Change(), self.rng
        calls = rng.poisson(self.mean_calls * self.load[first:last] * change.calls)
        errors = rng.binomial(calls, np.minimum(1, self.errors[first:last] * change.errors))
        refusals = rng.binomial(calls, np.minimum(1, self.refusals[first:last]))
        owner = np.repeat(np.arange(last - first), calls)
        latency = rng.lognormal(0, 0.6, len(owner)) * self.latency[first:last][owner] * change.latency
        buckets = (np.log(np.maximum(latency, 1)) / np.log(GROWTH)).astype(int) + 1
        cost = np.bincount(owner, rng.lognormal(0, 1, len(owner)), last - first) * self.cost[first:last] * change.cost
        rows = np.zeros((last - first, 220), dtype=int)
        np.add.at(rows, (owner, buckets), 1)
        found = []
        for at in range(last - first):
            if calls[at]:
                (full,) = rows[at].nonzero()
                counts = Counts(
                    calls=int(calls[at]),
                    errors=int(errors[at]),
                    refusals=int(refusals[at]),
                    tokens=int(calls[at]) * 900,
                    priced=int(calls[at]),
                    cost_nano=int(cost[at] * NANO),
                    latency=dict(zip(full.tolist(), rows[at][full].tolist(), strict=True)),
                )
                found.append(Reviewed(BEGAN + (first + at) * WIDTH, counts))
        return found


def _slow(rng: np.random.Generator, windows: int, size: float) -> np.ndarray:
    """Noise that wanders: an autoregression with a memory of about an hour."""
    steps, keep = rng.normal(size=windows), 0.92
    found = np.empty(windows)
    value = 0.0
    for at in range(windows):
        value = keep * value + np.sqrt(1 - keep**2) * steps[at]
        found[at] = value
    return found * size


def alarms(reviewed: Sequence[Reviewed]) -> Counter[str]:
    """How often each rule's alarm began to stand."""
    found: Counter[str] = Counter()
    before: tuple[str, ...] = ()
    for window in reviewed:
        found.update(set(window.standing) - set(before))
        before = window.standing
    return found


def of_both(rules: RuleSet, window: UsageWindow) -> list[Finding]:
    """What the rules find in a workflow's window, and in the same window as its token's."""
    token = window.model_copy(update={"subject": "token"})
    return rules.inspect_window(window, Facts()) + rules.inspect_window(token, Facts())


def delay(rules: RuleSet, past: Sequence[Reviewed], after: Sequence[Reviewed], rule: str) -> int | None:
    """Minutes from the change to the close of the window in which the alarm stands; None: not in three hours."""
    reviewed, _ = review("workflow", "s", [*past, *after], lambda window: of_both(rules, window))
    for window in reviewed:
        if rule in window.standing:
            return int((window.began_us - after[0].began_us) // 60_000_000) + SECONDS // 60
    return None


def measure(seed: int, days: int) -> tuple[Counter[str], dict[str, list[int | None]]]:
    """One workflow's false alarms by rule, and the delays of each change tried on it."""
    rules, workflow = load_rules(), Workflow(seed, days)
    ordinary = workflow.windows(0, days * DAY)
    false = alarms(review("workflow", "s", ordinary, lambda window: of_both(rules, window))[0])
    past = [replace(window, matched=()) for window in ordinary]
    delays: dict[str, list[int | None]] = {name: [] for name in CHANGES}
    for hour in (3, 9, 14, 20):
        at = WARM_UP * DAY + hour * DAY // 24
        if workflow.mean_calls * workflow.load[at : at + 12].sum() < LEAST_CALLS:
            continue
        before = [window for window in past if window.began_us < BEGAN + at * WIDTH]
        for name, (change, rule) in CHANGES.items():
            if rule != "usage-error-rate" or workflow.error_rate * change.errors >= LEAST_ERRORS:
                delays[name].append(delay(rules, before, workflow.windows(at, at + FOLLOWED, change), rule))
    return false, delays


def cost_of_counting() -> float:
    """Microseconds of the processor that counting a call takes, with everything given; the best of five rounds."""
    calls = [
        (
            n * 200_000,
            f"w{n % 20}",
            f"t{n % 30}",
            200,
            80.0 + n % 4000,
            900,
            0.002,
            n % 50 == 0,
            False,
            f"10.0.{n % 9}.1",
        )
        for n in range(100_000)
    ]
    rounds = []
    for _ in range(5):
        add, began = UsageCounter().add, time.process_time()
        for call in calls:
            add(*call)
        rounds.append(time.process_time() - began)
    return min(rounds) / len(calls) * 1e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workflows", type=int, default=20)
    options.add_argument("--days", type=int, default=30)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    began = time.perf_counter()
    false: Counter[str] = Counter()
    delays: dict[str, list[int | None]] = {name: [] for name in CHANGES}
    with ProcessPoolExecutor() as pool:
        seeds = [given.seed * 1000 + number for number in range(given.workflows)]
        for alarmed, delayed in pool.map(measure, seeds, [given.days] * len(seeds)):
            false += alarmed
            for name, found in delayed.items():
                delays[name] += found
    print(f"counting a call into its windows: {cost_of_counting():.2f} us")
    weeks = given.workflows * given.days / 7
    print(f"{given.workflows} workflows and their tokens, {given.days} days: {sum(false.values())} false alarms, "
          f"{sum(false.values()) / weeks:.3f} per workflow and week")  # fmt: skip
    for rule in sorted({rule for _, rule in CHANGES.values()} | {"usage-refusal-rate"}):
        print(f"  {rule:22} {false[rule]:4}  {false[rule] / weeks:.3f}")
    print("a change, from a random hour on:    seen in 3 h   median   9 of 10 within")
    for name, all_of_it in delays.items():
        ordered = sorted(np.inf if found is None else found for found in all_of_it)
        middle, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.9)]
        told = [f"{at:.0f} min" if at < np.inf else "more" for at in (middle, late)]
        seen = sum(at < np.inf for at in ordered) / len(ordered)
        print(f"  {name:20} {len(ordered):4} tries {seen:9.0%} {told[0]:>11} {told[1]:>11}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
