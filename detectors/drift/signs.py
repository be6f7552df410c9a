"""What makes a difference a sign of a cause: it is beyond chance, and in enough rows to be worth a word."""

import re
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from firebreak.detectors.drift.frames import labels
from firebreak.detectors.drift.methods import count_significance
from firebreak.detectors.drift.spec import DatasetSpec

ALPHA, WORTH = 0.01, 0.05  # several questions are asked of one window; share of rows worth a word
OUTPUTS = re.compile("confidence|probability")  # numbers by which a model judges itself
Frame: TypeAlias = pd.DataFrame


def more(before: Any, now: Any) -> bool:
    """Whether a mark is on more rows than before, worth a word and beyond chance."""
    if not len(before) or not len(now) or now.mean() - before.mean() < WORTH:
        return False
    return count_significance(*(np.array([side.sum(), (~side).sum()], np.float64) for side in (before, now))) < ALPHA


def outputs(spec: DatasetSpec) -> set[str]:
    """What the model itself answers: its prediction, and how sure it is."""
    return {name for name in spec.columns if name == spec.prediction or OUTPUTS.search(name)}


def labels_of(name: str | None, frame: Frame) -> pd.Series:
    """As text, None where there is none; all None where the frame has no such column, or two."""
    found = frame[name] if name and list(frame.columns).count(name) == 1 else pd.Series(None, frame.index, dtype=object)
    return labels(found).reset_index(drop=True)


def numbers_of(frame: Frame, name: str) -> Any:
    """NaN where a cell holds no number, and everywhere where the frame has no such column, or two."""
    return pd.to_numeric(labels_of(name, frame), errors="coerce").to_numpy(np.float64)
