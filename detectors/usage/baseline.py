"""What is ordinary for one workflow or token: its own windows of the last seven days, at the same hours where it can.

Robust: levels are medians with the median deviation beside them, and the spread of rates is taken from how much they
really moved, which is more than chance alone in most workflows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import asin, log, sqrt
from statistics import median

from firebreak.detectors.usage.counts import NANO, WIDTH, Counts

Window = tuple[int, Counts]  # began at, in microseconds since 1970
Block = list[Counts]  # neighbouring windows taken together

DAY = 24 * 3600 * 1_000_000
DAYS = 7
NEAR = 2 * 3600 * 1_000_000  # either side of the same time of day
ENOUGH = (100, 600)  # calls: windows are joined until they hold so many, or an hour is over; few show a great change
# soon, many a small one at all
JOINED = 12  # five-minute windows in that hour
FEWEST_BLOCKS = 12  # joined windows to know the ordinary by, over a day at least
FEWEST_DAYS = 5  # to know the ordinary volume of a time of day, weekends included
FEWEST_SAMPLE = 20  # calls that a rate or a volume is computed from
FEWEST_FOR_LEVEL = 50  # and a latency or a cost, which have long tails
_WORST = 25.0  # squared deviation of one block that still counts: an outage must not widen what is ordinary for long
_MAD = 1.4826  # a normal distribution's standard deviation over its median deviation
_LEAST_SPREAD = 0.05  # of a level, as a share of it


@dataclass(frozen=True)
class Rate:
    """An ordinary share of calls. ``inflation``: how much more it varies than by chance (1: not at all)."""

    share: float
    calls: int
    inflation: float = 1.0

    def deviation(self, hits: float, calls: int) -> float:
        """How many standard deviations a number of hits is away from the ordinary one (Anscombe's transformation)."""
        wide = sqrt(self.inflation * (1 + calls / self.calls))
        return 2 * sqrt(calls + 0.5) * (_arc(hits, calls) - _arc(self.share * calls, calls)) / wide


@dataclass(frozen=True)
class Level:
    """An ordinary amount, on a logarithmic scale, and how many calls one such amount comes from."""

    middle: float
    spread: float
    sample: float


@dataclass(frozen=True)
class Total:
    """An ordinary total, on a logarithmic scale: its middle, and its upper edge (49 of 50 lie below)."""

    middle: float
    edge: float


@dataclass(frozen=True)
class Volume:
    """Ordinary totals of a span of ``windows``: one, or an hour where one holds too few calls to tell."""

    windows: int
    calls: Total
    spend: Total | None


@dataclass(frozen=True)
class Scale:
    """What is ordinary for windows joined until they hold ``enough`` calls; None where too little is known of it."""

    enough: int
    errors: Rate | None = None
    refusals: Rate | None = None
    latency: Level | None = None
    cost: Level | None = None


@dataclass(frozen=True)
class Baseline:
    """What is ordinary, from how many windows it is known (0: it isn't), and the volume where it is known."""

    windows: int = 0
    scales: tuple[Scale, ...] = tuple(Scale(enough) for enough in ENOUGH)
    volume: Volume | None = None


def calls_of(block: Block) -> int:
    return sum(counts.calls for counts in block)


def one_made_less(hits: Sequence[int]) -> int:
    """The sum, in which the highest counts no more than the second highest: one bad window is chance."""
    ordered = sorted(hits)
    return sum(ordered) - (ordered[-1] - ordered[-2] if len(ordered) > 1 else 0)


def baseline(past: Sequence[Window], at_us: int) -> Baseline:
    """What ``past`` (oldest first) says of a window that began at ``at_us``, the hour before it left out."""
    week = [window for window in past if at_us - DAYS * DAY <= window[0] < at_us - JOINED * WIDTH]
    near = [window for window in week if min((at_us - window[0]) % DAY, (window[0] - at_us) % DAY) <= NEAR]
    known = len({(window[0] - at_us + DAY // 2) // DAY for window in near}) >= FEWEST_DAYS
    used = near if known else week
    if len(joined(used, max(ENOUGH))) < FEWEST_BLOCKS or at_us - week[0][0] < DAY:
        return Baseline()
    scales = tuple(_scale(joined(used, enough), enough) for enough in ENOUGH)
    return Baseline(len(used), scales, _volume(near) if known else None)


def joined(windows: Sequence[Window], enough: int) -> list[Block]:
    """Neighbouring windows taken together until they hold enough calls or span an hour."""
    blocks: list[Block] = []
    began = calls = 0
    for at, counts in windows:
        if not blocks or calls >= enough or at - began >= JOINED * WIDTH:
            blocks.append([])
            began, calls = at, 0
        blocks[-1].append(counts)
        calls += counts.calls
    return blocks


def latency_p95(block: Block) -> tuple[float | None, int]:
    """(milliseconds, calls that gave theirs)"""
    whole: dict[int, int] = {}
    for counts in block:
        for bucket, calls in counts.latency.items():
            whole[bucket] = whole.get(bucket, 0) + calls
    counts = Counts(latency=whole)
    return counts.latency_at(0.95), counts.timed


def cost_per_call(block: Block) -> tuple[float | None, int]:
    """(cost of a call, calls that gave theirs)"""
    priced = sum(counts.priced for counts in block)
    cost = sum(counts.cost_nano for counts in block) / NANO
    return (cost / priced if cost else None), priced


def spend(counts: Counts) -> float:
    """The cost where it is given, else the tokens, in thousands."""
    return counts.cost or counts.tokens / 1000


def totals(windows: Sequence[Window], until_us: int, span: int) -> tuple[int, float]:
    """Calls and spend of the ``span`` windows that end with the one that began at ``until_us``."""
    some = [counts for at, counts in windows if until_us - span * WIDTH < at <= until_us]
    return sum(counts.calls for counts in some), sum(spend(counts) for counts in some)


def _scale(blocks: Sequence[Block], enough: int) -> Scale:
    return Scale(
        enough,
        errors=_rate(blocks, lambda counts: counts.errors),
        refusals=_rate(blocks, lambda counts: counts.refusals),
        latency=_level([latency_p95(block) for block in blocks]),
        cost=_level([cost_per_call(block) for block in blocks]),
    )


def _arc(hits: float, calls: int) -> float:
    return asin(sqrt(min(1.0, (hits + 0.375) / (calls + 0.75))))


def _rate(blocks: Sequence[Block], of: Callable[[Counts], int]) -> Rate | None:
    pairs = [(one_made_less([of(counts) for counts in block]), calls_of(block)) for block in blocks]
    calls = sum(calls for _, calls in pairs)
    if calls < max(ENOUGH):
        return None
    rate = Rate(sum(hits for hits, _ in pairs) / calls, calls)
    moved = [min(_WORST, rate.deviation(hits, n) ** 2) for hits, n in pairs]
    return replace(rate, inflation=max(1.0, sum(moved) / len(moved)))


def _level(levels: Sequence[tuple[float | None, int]]) -> Level | None:
    some = [(log(value), sample) for value, sample in levels if value and sample >= FEWEST_FOR_LEVEL]
    if len(some) < FEWEST_BLOCKS:
        return None
    middle, spread = _middle([value for value, _ in some])
    return Level(middle, max(spread, _LEAST_SPREAD), median(sample for _, sample in some))


def _volume(near: Sequence[Window]) -> Volume | None:
    span = 1 if median(counts.calls for _, counts in near) >= FEWEST_SAMPLE else JOINED
    found = [(counts.calls, spend(counts)) for _, counts in near]
    if span > 1:
        hours: dict[int, tuple[int, float]] = {}
        for at, counts in near:
            calls, spent = hours.get(at // (span * WIDTH), (0, 0.0))
            hours[at // (span * WIDTH)] = calls + counts.calls, spent + spend(counts)
        found = list(hours.values())
    if len(found) < FEWEST_BLOCKS:
        return None
    numbers, spends = [float(calls) for calls, _ in found], [spent for _, spent in found if spent > 0]
    least = 4 / sqrt(median(numbers))  # how much a number of calls varies by chance alone
    return Volume(span, _total(numbers, least), _total(spends, least) if len(spends) >= FEWEST_BLOCKS else None)


def _total(values: Sequence[float], least: float) -> Total:
    middle, high = log(median(values)), sorted(values)[int(len(values) * 0.98)]
    return Total(middle, max(log(high), middle + least))


def _middle(values: Sequence[float]) -> tuple[float, float]:
    middle = median(values)
    return middle, _MAD * median(abs(value - middle) for value in values)
