"""The injection score: how much a text reads like an attack on the model, and why.

A logistic model over the features of `features.yml`, weighed by `weights.yml`. A text that shows no sign of an attack
scores 0, whatever else it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import NamedTuple

from firebreak.detectors.injection import weights as weighing
from firebreak.detectors.injection.signals import Found, signals
from firebreak.detectors.text.views import TextView, text_views


class Reason(NamedTuple):
    """What one feature adds to the score, in log-odds, and where it stands in the text."""

    feature: str
    contribution: float
    span: tuple[int, int]
    view: str


@dataclass(frozen=True)
class Score:
    """A score from 0 to 1, and its reasons, the weightiest first."""

    value: float
    reasons: tuple[Reason, ...] = ()


NOTHING = Score(0.0)


def injection_score(text: str) -> Score:
    """Score one text. Linear in its length; never raises on any text."""
    if not text.isascii():  # lone surrogates can't be read by RE2: one character for another keeps every place
        text = text.encode("utf-8", "replace").decode("utf-8")
    return score_of(text_views(text))


def score_of(views: Sequence[TextView]) -> Score:
    """Score a text given by its views; the places of the reasons are the original text's."""
    found = signals(views)
    return weigh(found, weighing.shipped()) if found else NOTHING


def weigh(found: Found, weights: weighing.Weights) -> Score:
    """The score of the features found in a text."""
    reasons = [
        Reason(name, signal.strength * weights.weights[name], (signal.start, signal.end), signal.view)
        for name, signal in found.items()
    ]
    total = weights.intercept + sum(reason.contribution for reason in reasons)
    shown = [reason for reason in reasons if reason.contribution]
    shown.sort(key=lambda reason: -abs(reason.contribution))
    return Score(1 / (1 + exp(-max(-40.0, min(40.0, total)))), tuple(shown))


def judge(text: str) -> float:
    """The score alone; `judge.threshold` is the shipped threshold."""
    return injection_score(text).value


judge.threshold = weighing.shipped().threshold  # type: ignore[attr-defined]
