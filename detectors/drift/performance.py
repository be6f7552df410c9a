"""Performance: how often the model is right, in all and by class, and whether it got worse than chance explains."""

from collections import Counter
from collections.abc import Collection, Iterable
from math import sqrt
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict
from scipy.stats import hypergeom

from firebreak.detectors.drift.frames import bounded

Interval = tuple[float, float]

Z = 1.959963984540054  # two-sided 95 %
SIGNIFICANT = 0.05  # over all classes together (Holm)
FEWEST = 20  # rows of a class below which its recall is not judged


class ClassScore(BaseModel):
    """One class: ``rows`` that are truly of it, ``predicted`` rows that the model put in it; 95 % intervals (Wilson).

    None where there is nothing to divide by.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    predicted: int
    right: int
    recall: float | None
    interval: Interval | None
    precision: float | None
    precision_interval: Interval | None


class Performance(BaseModel):
    """The model's score over the ``rows`` that have both a label and a prediction; 95 % interval (Wilson)."""

    model_config = ConfigDict(frozen=True)

    rows: int
    right: int
    accuracy: float
    interval: Interval
    classes: dict[str, ClassScore]
    left_out: int = 0
    unknown: dict[str, int] = {}  # labels no model's class answers to, with their rows: all counted as wrong


class PerformanceFault(BaseModel):
    """Accuracy (``label`` None) or the recall of one class fell: shares, rows and p-value (Holm's, one-sided)."""

    model_config = ConfigDict(frozen=True)

    label: str | None
    reference: float
    current: float
    reference_rows: int
    current_rows: int
    p_value: float
    title: str


def wilson(right: int, rows: int) -> Interval:
    """The 95 % interval of a share, ``right`` of ``rows`` (at least 1)."""
    share, square = right / rows, Z * Z
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = Z / (1 + square / rows) * sqrt(share * (1 - share) / rows + square / (4 * rows * rows))
    return (0.0 if right == 0 else middle - half, 1.0 if right == rows else middle + half)


def performance(
    labels: Iterable[Any], predictions: Iterable[Any], known: Collection[str] | None = None
) -> Performance | None:
    """Scores of predictions against labels, pair by pair; None when no pair has both.

    ``known`` are the model's classes, by default those it predicted here. A label that isn't among them
    counts as wrong, and is listed in ``unknown``.

    Raises:
        ValueError: not as many labels as predictions.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    left_out = 0
    for label, prediction in zip(labels, predictions, strict=True):
        if pd.isna(label) or pd.isna(prediction):
            left_out += 1
        else:
            pairs[str(label), str(prediction)] += 1
    if not pairs:
        return None
    truly, predicted, right = Counter[str](), Counter[str](), Counter[str]()
    for (label, prediction), rows in pairs.items():
        truly[label] += rows
        predicted[prediction] += rows
        right[label] += rows * (label == prediction)
    model = set(predicted) if known is None else {*known, *predicted}
    total, hits = truly.total(), right.total()
    return Performance(
        rows=total,
        right=hits,
        accuracy=hits / total,
        interval=wilson(hits, total),
        classes={name: _score(truly[name], predicted[name], right[name]) for name in sorted({*truly, *predicted})},
        left_out=left_out,
        unknown={name: rows for name, rows in sorted(truly.items()) if name not in model},
    )


def degraded(
    reference: Performance, current: Performance, minimum_sample: int, effect: float
) -> tuple[PerformanceFault, ...]:
    """Accuracy first, then each class's recall: lost more than ``effect`` (a share) and more than by chance.

    Significance is Fisher's exact test of two shares, one-sided, at 5 % over all of them by Holm. Nothing
    is judged when either side has fewer than ``minimum_sample`` rows, and no class with fewer than 20.
    """
    if min(reference.rows, current.rows) < minimum_sample:
        return ()
    sides: dict[str | None, tuple[int, int, int, int]] = {
        None: (reference.right, reference.rows, current.right, current.rows)
    }
    for known, now in current.classes.items():
        before = reference.classes.get(known)
        if before is not None and min(before.rows, now.rows) >= FEWEST:
            sides[known] = (before.right, before.rows, now.right, now.rows)
    corrected = _holm({name: _fell(*counts) for name, counts in sides.items()})
    faults = []
    for name, (right_before, rows_before, right_now, rows_now) in sides.items():
        was, now_is = right_before / rows_before, right_now / rows_now
        if was - now_is > effect and corrected[name] <= SIGNIFICANT:
            what = "accuracy" if name is None else f"recall of {bounded(name)!r}"
            faults.append(
                PerformanceFault(
                    label=name,
                    reference=was,
                    current=now_is,
                    reference_rows=rows_before,
                    current_rows=rows_now,
                    p_value=corrected[name],
                    title=f"{what} fell from {was:.1%} to {now_is:.1%} ({right_now:,} of {rows_now:,} rows right)",
                )
            )
    return tuple(faults)


def _score(rows: int, predicted: int, right: int) -> ClassScore:
    return ClassScore(
        rows=rows,
        predicted=predicted,
        right=right,
        recall=right / rows if rows else None,
        interval=wilson(right, rows) if rows else None,
        precision=right / predicted if predicted else None,
        precision_interval=wilson(right, predicted) if predicted else None,
    )


def _fell(right_before: int, rows_before: int, right_now: int, rows_now: int) -> float:
    """How likely so few right ones are now, were the share the same on both sides."""
    return float(hypergeom.cdf(right_now, rows_before + rows_now, right_before + right_now, rows_now))


def _holm(p_values: dict[str | None, float]) -> dict[str | None, float]:
    corrected, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return corrected
