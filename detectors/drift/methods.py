"""Distances between two samples, equal to Evidently's numbers, and how sure a difference is.

Evidently (0.7.23, ``evidently.legacy.calculations.stattests``) computes each column several times; here every column
is sorted or counted once, and each number comes from that.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln, kolmogorov, xlogy

Floats = NDArray[np.float64]

BINS_ABOVE = 20  # Evidently compares numbers with more distinct values by histogram, others value by value
BLOCK = 1 << 16
SMALLEST_NORM = 0.001  # Evidently's floor for the reference's standard deviation
SMALLEST_EXPECTED = 5  # with expected counts below, chi-square is off (Cochran's rule)
SHUFFLES = 1999  # smallest p-value 0.0005: enough to be called among 100 columns
EXACT_KS = 10_000  # scipy's own limit for exact p-values


@dataclass(frozen=True)
class Numbers:
    """Two samples of numbers, each at least one, sorted, finite; ``deviation`` is the reference's."""

    reference: NDArray[Any]
    current: NDArray[Any]
    deviation: float

    @cached_property
    def compared(self) -> tuple[float, float, int]:
        """The area between the two distribution functions, their largest difference, and how many distinct values.

        In blocks: what is computed stays in the processor's cache, and memory is that of one merged column.
        """
        both = np.concatenate([self.reference, self.current]).astype(np.float64, copy=False)
        order = np.argsort(both, kind="stable")  # two sorted runs: merging them takes a fraction of a sort
        merged, from_reference = both[order], order < len(self.reference)
        area, largest, distinct, below = 0.0, 0.0, 1, 0
        for start in range(0, len(merged) - 1, BLOCK):
            step = np.diff(merged[start : start + BLOCK + 1])
            first = below + np.cumsum(from_reference[start : start + len(step)])
            second = np.arange(start + 1, start + len(step) + 1) - first
            gap = np.abs(first / len(self.reference) - second / len(self.current))
            apart = step != 0  # ties count once, after the last of them
            largest = max(largest, float(gap.max(where=apart, initial=0.0)))
            area += float(np.multiply(gap, step, out=gap).sum())  # np.dot would wake a thread for every core
            distinct += int(np.count_nonzero(apart))
            below = int(first[-1])
        return area, largest, distinct

    @property
    def ks_distance(self) -> float:
        """The largest difference of the two distribution functions, 0 to 1."""
        return self.compared[1]

    @property
    def few(self) -> tuple[Floats, Floats] | None:
        """Counts of each distinct value in the two samples, where together they have 20 at most; else None."""
        if self.compared[2] > BINS_ABOVE:
            return None
        first, second = self.by_value()
        return first.astype(np.float64), second.astype(np.float64)

    def by_value(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Counts of each distinct value in the two samples."""
        values = np.unique(np.concatenate([_distinct(self.reference), _distinct(self.current)]))
        first, second = (
            np.diff(side.searchsorted(values, "right"), prepend=0) for side in (self.reference, self.current)
        )
        return first, second


def _distinct(ordered: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return found


def wasserstein(numbers: Numbers) -> float:
    """The first Wasserstein distance in standard deviations of the reference."""
    return numbers.compared[0] / max(numbers.deviation, SMALLEST_NORM)


def ks(numbers: Numbers) -> float:
    """The p-value of the two-sided Kolmogorov-Smirnov test: exact up to 10,000 rows a side, then asymptotic."""
    from scipy.stats import ks_2samp, kstwo  # takes a second to import

    rows, others = len(numbers.reference), len(numbers.current)
    if max(rows, others) > EXACT_KS:
        return float(np.clip(kstwo.sf(numbers.ks_distance, np.round(rows / (rows + others) * others)), 0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where the exact way fails, scipy says so and goes the other
        return float(ks_2samp(numbers.reference, numbers.current).pvalue)


def shares(numbers: Numbers) -> tuple[Floats, Floats]:
    """Each sample's share of rows by histogram bin (Sturges, over both), or by value where the reference has few."""
    reference, current = numbers.reference, numbers.current
    if len(_distinct(reference)) <= BINS_ABOVE:
        first, second = numbers.by_value()
    else:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        first, second = _in_bins(reference, edges), _in_bins(current, edges)
    return first / len(reference), second / len(current)


def _in_bins(side: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    """``np.histogram`` of sorted values: bins hold their left edge, the last one both."""
    return np.diff(np.append(side.searchsorted(edges[:-1], "left"), side.searchsorted(edges[-1], "right")))


def label_shares(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """Counts of each label to shares of rows."""
    return reference / reference.sum(), current / current.sum()


def jensenshannon(reference: Floats, current: Floats) -> float:
    """The Jensen-Shannon distance of two lists of shares, natural logarithm: 0 to 0.8326."""
    first, second = reference / reference.sum(), current / current.sum()
    middle = (first + second) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = xlogy(first, first / middle) + xlogy(second, second / middle)
    return float(np.sqrt(max(np.sum(parts[middle > 0]), 0.0) / 2))


def psi(reference: Floats, current: Floats) -> float:
    """The population stability index; an empty bin counts as 0.0001, or a millionth of the smallest bin."""
    first, second = (_filled(side) for side in (reference, current))
    return float(np.sum((first - second) * np.log(first / second)))


def _filled(side: Floats) -> Floats:
    smallest = side[side != 0].min()
    return np.where(side == 0, smallest / 10**6 if smallest <= 0.0001 else 0.0001, side)


def chisquare(reference: Floats, current: Floats) -> float:
    """The p-value of the current counts against the reference's shares; a label that is new there makes it 0.

    With a single label there is nothing to test: 1 (Evidently says NaN, which it doesn't count as drift either).
    """
    if len(reference) < 2:
        return 1.0
    expected = reference * (current.sum() / reference.sum())
    if np.any(expected == 0):
        return 0.0
    return float(chdtrc(len(reference) - 1, np.sum((current - expected) ** 2 / expected)))


def total_variation(reference: Floats, current: Floats) -> float:
    """Half the summed difference of two lists of shares: the part of the rows that changed label, 0 to 1."""
    return float(np.abs(reference - current).sum() / 2)


def ks_significance(numbers: Numbers) -> float:
    """How likely so large a KS distance is by chance, by Stephens' approximation, in constant time.

    With few distinct values that test is blunt (ties make it say too much chance), so their counts are compared.
    """
    if numbers.few is not None:
        return count_significance(*numbers.few)
    rows, others = len(numbers.reference), len(numbers.current)
    root = np.sqrt(rows / (rows + others) * others)
    return float(kolmogorov((root + 0.12 + 0.11 / root) * numbers.ks_distance))


def count_significance(reference: Floats, current: Floats) -> float:
    """How likely two lists of counts differ so much by chance: chi-square, both samples taken as samples.

    With rare labels that is a poor guess: two labels are then compared exactly (Fisher), more by shuffling the rows.
    """
    table = np.stack([reference, current])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() >= SMALLEST_EXPECTED:
        return float(chdtrc(table.shape[1] - 1, np.sum((table - expected) ** 2 / expected)))
    return _fisher(table) if table.shape[1] == 2 else _shuffled(table, expected)


def _fisher(table: Floats) -> float:
    """Two-sided Fisher exact test of two labels: every table as unlikely as this one, or more."""
    (first, second), (third, _) = table
    row, column, rows = first + second, first + third, table.sum()
    cell = np.arange(max(0, row + column - rows), min(row, column) + 1)
    chance = -sum(gammaln(part + 1) for part in (cell, row - cell, column - cell, rows - row - column + cell))
    weight = np.exp(chance - chance.max())
    return float(min(weight[weight <= weight[int(first - cell[0])] * (1 + 1e-7)].sum() / weight.sum(), 1))


def _shuffled(table: Floats, expected: Floats) -> float:
    """How often rows dealt to the two samples at random differ as much (1,999 times, always the same ones)."""
    seen = np.sum((table[1] - expected[1]) ** 2 / expected[1])
    dealt = np.random.default_rng(0).multivariate_hypergeometric(
        table.sum(axis=0).astype(np.int64), int(table[1].sum()), size=SHUFFLES, method="marginals"
    )
    as_much = np.sum((dealt - expected[1]) ** 2 / expected[1], axis=1) >= seen * (1 - 1e-9)
    return float((1 + np.count_nonzero(as_much)) / (1 + SHUFFLES))


def significant(p_values: Mapping[str, float], rate: float) -> frozenset[str]:
    """Benjamini-Hochberg: the names that may be called while at most ``rate`` of those called are chance."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    passed = [place for place, name in enumerate(ordered, 1) if p_values[name] <= rate * place / len(ordered)]
    return frozenset(ordered[: max(passed, default=0)])
