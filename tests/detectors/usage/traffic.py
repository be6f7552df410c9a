"""Windows of made-up traffic."""

import random
from collections.abc import Iterator
from functools import lru_cache

from firebreak.detectors.usage.baseline import DAY, Window
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import WIDTH, Counts

MONDAY = 1_780_272_000_000_000  # 2026-06-01, midnight UTC


@lru_cache
def counts(
    calls: int, *, errors: int = 0, refusals: int = 0, latency_ms: float = 800, cost: float = 0.01, seed: int = 0
) -> Counts:
    """A window's counts, not to be changed; latencies and costs vary by a tenth around their middles."""
    draw, counter = random.Random(seed), UsageCounter()
    for call in range(calls):
        counter.add(
            MONDAY, "w", None, 200, latency_ms * draw.uniform(0.9, 1.1), 100, cost * draw.uniform(0.9, 1.1),
            call < errors, call < refusals,
        )  # fmt: skip
    return counter.windows().get(("workflow", "w", MONDAY), Counts())


def steady(days: float, *, calls: int = 60, errors: int = 1, start: int = MONDAY) -> list[Window]:
    """Windows that hardly differ from one another."""
    return [
        (at, counts(calls + n % 5, errors=errors, refusals=1, seed=n % 20)) for n, at in enumerate(moments(days, start))
    ]


def moments(days: float, start: int = MONDAY) -> Iterator[int]:
    yield from range(start, start + int(days * DAY), WIDTH)
