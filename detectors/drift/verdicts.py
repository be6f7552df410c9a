"""The verdict on a window: which columns drifted from the reference, how far, in which direction, how surely."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from firebreak.detectors.drift import methods
from firebreak.detectors.drift.methods import Floats, Numbers
from firebreak.detectors.drift.samples import Refusal, counts, numbers
from firebreak.detectors.drift.spec import P_VALUES, Column, DatasetSpec, Kind, Method

Direction = Literal["up", "down", "spread", "mix"]

MOST_CATEGORIES = 5
QUARTILES = 1.349  # standard deviations between the quartiles of a normal distribution


class ColumnVerdict(BaseModel):
    """One column's verdict. Without a score there is a reason in ``refused``."""

    model_config = ConfigDict(frozen=True)

    column: str
    kind: Kind
    method: Method
    score: float | None = Field(default=None, description="Evidently's number for the method, on every row")
    threshold: float
    effect: float | None = Field(default=None, description="KS distance of numbers, total variation of labels: 0 to 1")
    p_value: float | None = Field(default=None, description="how likely so large an effect is by chance")
    drifted: bool = Field(default=False, description="by score, by effect and by significance among all columns")
    direction: Direction | None = Field(default=None, description="of a drifted column")
    categories: tuple[str, ...] = Field(
        default=(),
        description="of a drifted column, the labels whose share changed most, as 'billing +0.12': untrusted",
    )
    reference_rows: int = Field(default=0, description="values compared: neither missing nor infinite")
    current_rows: int = 0
    refused: str | None = Field(default=None, description="why there is no verdict, naming the column")


class WindowVerdict(BaseModel):
    """All columns of the spec, in its order."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[ColumnVerdict, ...]
    reference_rows: int
    current_rows: int
    enough: bool = Field(description="both sides have the spec's minimum_sample of rows")

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that drifted; none where there were too few rows to say."""
        return tuple(verdict.column for verdict in self.columns if verdict.drifted) if self.enough else ()


def judge(spec: DatasetSpec, reference: pd.DataFrame, current: pd.DataFrame) -> WindowVerdict:
    """The verdict on one window (one row a call) against the reference frame; neither is changed.

    A column drifts when Evidently would say so by method and threshold, its effect reaches the column's, and its
    p-value holds after Benjamini-Hochberg over all columns judged. Odd data raises nothing: it is in ``refused``.
    """
    judged = {name: _column(name, column, reference, current) for name, column in spec.columns.items()}
    p_values = {name: verdict.p_value for name, verdict in judged.items() if verdict.p_value is not None}
    called = methods.significant(p_values, spec.false_discovery_rate)
    return WindowVerdict(
        columns=tuple(verdict if name in called else _calm(verdict) for name, verdict in judged.items()),
        reference_rows=len(reference),
        current_rows=len(current),
        enough=min(len(reference), len(current)) >= spec.minimum_sample,
    )


def _calm(verdict: ColumnVerdict) -> ColumnVerdict:
    return verdict.model_copy(update={"drifted": False, "direction": None, "categories": ()})


def _column(name: str, column: Column, reference: pd.DataFrame, current: pd.DataFrame) -> ColumnVerdict:
    """The verdict on one column as if it were the only one."""
    verdict = ColumnVerdict(column=name, kind=column.kind, method=column.method, threshold=column.threshold)
    try:
        with np.errstate(all="ignore"):  # what overflows ends as a score that isn't finite
            found = (_of_numbers if column.numerical else _of_labels)(name, column.method, reference, current)
        if not np.isfinite(found["score"]):
            raise Refusal("holds numbers too large to compare")
    except Refusal as refusal:
        return verdict.model_copy(update={"refused": f"{name}: {refusal}"})
    except (TypeError, ValueError, ArithmeticError) as error:
        return verdict.model_copy(
            update={"refused": f"{name}: can't be compared: {' '.join(str(error).split())[:200]}"}
        )
    verdict = verdict.model_copy(update=found)
    drifted = _beyond(column, verdict.score or 0.0) and (verdict.effect or 0.0) >= column.effect
    return verdict.model_copy(update={"drifted": True}) if drifted else _calm(verdict)


def _beyond(column: Column, score: float) -> bool:
    """Whether Evidently would call it drift: its three ways to compare."""
    if column.method is Method.CHISQUARE:
        return score < column.threshold
    return score <= column.threshold if column.method in P_VALUES else score >= column.threshold


def _of_numbers(name: str, method: Method, reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    sample = numbers(reference, current, name)
    if method is Method.WASSERSTEIN:
        score = methods.wasserstein(sample)
    elif method is Method.KS:
        score = methods.ks(sample)
    else:
        distance = methods.psi if method is Method.PSI else methods.jensenshannon
        score = distance(*methods.shares(sample))
    return {
        "score": score,
        "effect": sample.ks_distance,
        "p_value": methods.ks_significance(sample),
        "direction": _direction(sample),
        "reference_rows": len(sample.reference),
        "current_rows": len(sample.current),
    }


def _of_labels(name: str, method: Method, reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    names, first, second = counts(reference, current, name)
    shares = methods.label_shares(first, second)
    if method is Method.CHISQUARE:
        score = methods.chisquare(first, second)
    else:
        score = (methods.psi if method is Method.PSI else methods.jensenshannon)(*shares)
    return {
        "score": score,
        "effect": methods.total_variation(*shares),
        "p_value": methods.count_significance(first, second),
        "direction": "mix",
        "categories": _most_changed(names, shares[1] - shares[0]),
        "reference_rows": int(first.sum()),
        "current_rows": int(second.sum()),
    }


def _most_changed(names: list[str], change: Floats) -> tuple[str, ...]:
    order = sorted(range(len(names)), key=lambda place: (-abs(change[place]), names[place]))
    return tuple(f"{names[place]} {change[place]:+.2f}" for place in order[:MOST_CATEGORIES] if change[place])


def _direction(sample: Numbers) -> Direction:
    """Where the values went: up or down, unless their spread changed more.

    Both changes are put into the KS distance a normal distribution would show: a shift by one deviation moves it by
    0.40 (the density's peak), a deviation that grows by one moves it by 0.24.
    """
    first, second = sample.reference, sample.current
    near = _between_quartiles(first)
    deviation = max(sample.deviation, methods.SMALLEST_NORM)
    middle = (_quantile(second, 0.5) - _quantile(first, 0.5)) / (near / QUARTILES or deviation)
    mean = float(second.mean(dtype=np.float64) - first.mean(dtype=np.float64)) / deviation
    moved = middle if abs(middle) >= abs(mean) else mean
    grown = _between_quartiles(second) / near - 1 if near else float(second.std(dtype=np.float64)) / deviation - 1
    if 0.40 * abs(moved) <= 0.24 * abs(grown):
        return "spread"
    return "up" if moved > 0 else "down"


def _between_quartiles(ordered: Floats) -> float:
    return _quantile(ordered, 0.75) - _quantile(ordered, 0.25)


def _quantile(ordered: Floats, share: float) -> float:
    """Of sorted values, between the two nearest."""
    place = share * (len(ordered) - 1)
    below, above = float(ordered[int(place)]), float(ordered[int(np.ceil(place))])
    return below + (above - below) * (place - int(place))
