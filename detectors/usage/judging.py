"""The verdict on a window: its counts, and how they differ from the ordinary where chance can't explain it. Pure."""

from collections.abc import Callable, Sequence
from math import exp, log, sqrt
from typing import Any, Literal

from firebreak.detectors.usage.baseline import (
    FEWEST_FOR_LEVEL,
    FEWEST_SAMPLE,
    JOINED,
    Baseline,
    Block,
    Level,
    Rate,
    Volume,
    Window,
    calls_of,
    cost_per_call,
    latency_p95,
    one_made_less,
    totals,
)
from firebreak.detectors.usage.counts import WIDTH, Counts, moment
from firebreak.detectors.usage.window import UsageWindow

CHANCE = 3.5  # standard deviations that chance may explain
BEYOND = log(1.5)  # a total is remarkable half as much above the edge of the ordinary ones


def judge(
    subject: Literal["workflow", "token"], name: str, recent: Sequence[Window], ordinary: Baseline
) -> UsageWindow:
    """Judge the last window of ``recent`` (oldest first), with as many before it, up to an hour, as rates need.

    Levels and rates are those of the joined windows, counts and totals those of the last one alone. A few windows
    show a great change soon, many a small one at all: what stands out more is taken.
    """
    began_us, counts = recent[-1]
    blocks = [(latest(recent, scale.enough), scale) for scale in ordinary.scales]
    most = max(counts.workflows, key=lambda workflow: (counts.workflows[workflow], workflow), default=name)
    told: dict[str, Any] = {
        **_clearest([_rates("error_rate", block, lambda each: each.errors, scale.errors) for block, scale in blocks]),
        **_clearest(
            [_rates("refusal_rate", block, lambda each: each.refusals, scale.refusals) for block, scale in blocks]
        ),
        **_clearest([_levels("latency_p95", *_slow(block), scale.latency, unit="_ms") for block, scale in blocks]),
        **_clearest([_levels("cost_per_call", *_dear(block), scale.cost) for block, scale in blocks]),
        **_volumes(recent, ordinary.volume),
    }
    return UsageWindow(
        subject=subject,
        name=name,
        workflow=name if subject == "workflow" else most,
        began_at=moment(began_us),
        calls=counts.calls,
        errors=counts.errors,
        denied_calls=counts.denied,
        refusals=counts.refusals,
        tokens=counts.tokens,
        cost=counts.cost,
        baseline_windows=ordinary.windows,
        **told,
    )


def latest(recent: Sequence[Window], enough: int) -> Block:
    """The last window's counts, and those before it until there are enough calls or an hour is over."""
    block: Block = []
    calls = 0
    for at, counts in reversed(recent):
        if block and (calls >= enough or at <= recent[-1][0] - JOINED * WIDTH):
            break
        block.append(counts)
        calls += counts.calls
    return block


def _clearest(told: list[dict[str, float]]) -> dict[str, float]:
    """The one that tells most: with a ratio rather than without, then the greater one; at last the longest block's."""
    return max(reversed(told), key=lambda each: next((each[name] for name in each if name.endswith("_ratio")), 0.0))


def _slow(block: Block) -> tuple[float | None, int]:
    return latency_p95(without_worst(block, lambda each: each.latency_at(0.95)))


def _dear(block: Block) -> tuple[float | None, int]:
    return cost_per_call(without_worst(block, lambda each: each.cost_nano / max(1, each.priced)))


def without_worst(block: Block, measure: Callable[[Counts], float | None]) -> Block:
    """Without the window in which it was highest, where there are more: one bad window is chance."""
    if len(block) == 1:
        return block
    worst = max(range(len(block)), key=lambda at: measure(block[at]) or 0.0)
    return [counts for at, counts in enumerate(block) if at != worst]


def _rates(name: str, block: Block, of: Callable[[Counts], int], ordinary: Rate | None) -> dict[str, float]:
    """The rate; its change where it is further from the ordinary than chance and the ordinary ups and downs go."""
    hits, calls = one_made_less([of(each) for each in block]), calls_of(block)
    if calls < FEWEST_SAMPLE:
        return {}
    rate = hits / calls
    found = {name: rate}
    if ordinary is not None and ordinary.deviation(hits, calls) > CHANCE:
        found[f"{name}_change"] = rate - ordinary.share
        found[f"{name}_ratio"] = rate / max(ordinary.share, 1 / ordinary.calls)
    return found


def _levels(name: str, value: float | None, sample: int, ordinary: Level | None, unit: str = "") -> dict[str, float]:
    """The level; its ratio where it stands out. A smaller sample than usual varies more than usual."""
    if value is None or sample < FEWEST_FOR_LEVEL:
        return {}
    found = {name + unit: value}
    if ordinary is not None and value > 0:
        by = log(value) - ordinary.middle
        if by > CHANCE * ordinary.spread * max(1.0, sqrt(ordinary.sample / sample)):
            found[f"{name}_ratio"] = exp(by)
    return found


def _volumes(recent: Sequence[Window], ordinary: Volume | None) -> dict[str, float]:
    """How many times the ordinary totals, where they are more than their own ups and downs."""
    if ordinary is None:
        return {}
    calls, spent = totals(recent, recent[-1][0], ordinary.windows)
    found = {}
    for name, total, level, fewest in (
        ("calls_ratio", calls, ordinary.calls, FEWEST_SAMPLE),
        ("spend_ratio", spent, ordinary.spend, FEWEST_FOR_LEVEL),
    ):
        if level is not None and total > 0 and calls >= fewest:
            by = log(total)
            if by > level.edge + BEYOND:
                found[name] = exp(by - level.middle)
    return found
