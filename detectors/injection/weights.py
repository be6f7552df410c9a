"""The weights of the features: a small file a person can read, written by `train.py`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from firebreak.detectors.injection.features import features
from firebreak.detectors.yaml_text import read_yaml

FILE = Path(__file__).with_name("weights.yml")


class WeightsError(ValueError):
    """A weights file that can't be used: which file, what is wrong with it, how to mend it."""


class Weights(BaseModel):
    """A logistic model: ``intercept`` plus the weight of each feature found, in log-odds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float
    threshold: float = Field(gt=0, lt=1)
    weights: dict[str, float]


def read_weights(path: Path) -> Weights:
    """The weights in a file.

    Raises:
        WeightsError: it can't be read, a feature lacks a weight, or a weight has the sign its feature may not have.
    """
    mend = "write it with `python -m firebreak.detectors.injection.train`"
    try:
        weights = Weights.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise WeightsError(f"{path}: not a file of weights ({error}); {mend}") from None
    known = features()
    if wrong := sorted(set(weights.weights) ^ set(known)):
        raise WeightsError(f"{path}: weights: {', '.join(wrong)}: in the file or in features.yml, not in both; {mend}")
    for name, weight in weights.weights.items():
        if weight * (-1 if known[name].role == "lowers" else 1) < 0:
            raise WeightsError(f"{path}: weights: {name}: {weight} has the wrong sign for a feature that "
                               f"{'lowers' if weight > 0 else 'raises'} the score; {mend}")  # fmt: skip
    return weights


@cache
def shipped() -> Weights:
    """The weights beside this module, read once."""
    return read_weights(FILE)
