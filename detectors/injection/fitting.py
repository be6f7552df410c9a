"""Fits the weights: a logistic model held to what is believed beforehand, and to the sign of each feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from firebreak.detectors.injection.features import features
from firebreak.detectors.injection.signals import Found
from firebreak.detectors.injection.training_data import Labelled
from firebreak.detectors.injection.weights import Weights

THRESHOLD = 0.5  # what is fitted is shifted so that this is the threshold
BUDGET = 0.01  # benign texts that may reach it, of all
WORST = 0.02  # and of the worst source
LEAST = 1.5  # log-odds it takes in any case: one clear sign, or two faint ones
HOLD = 6.0  # how strongly a weight is held to its prior, in texts
_START = -3.0


def fit(texts: Sequence[Labelled], found: Sequence[Found]) -> Weights:
    """Weights for labelled texts and the features found in them.

    Each source counts with the root of its size, so that a large one doesn't drown the rest. Texts without any sign
    teach nothing: they score 0 whatever the weights are.
    """
    known = features()
    names = list(known)
    priors = np.array([known[name].prior for name in names])
    shown = [index for index, signals in enumerate(found) if signals]
    table = np.zeros((len(shown), len(names)))
    for row, index in enumerate(shown):
        for column, name in enumerate(names):
            table[row, column] = found[index][name].strength if name in found[index] else 0.0
    sign = np.array([1.0 if texts[index].attack else -1.0 for index in shown])
    weight = balanced([texts[index] for index in shown])

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (table @ at[1:] + at[0])
        pull = at[1:] - priors
        value = float(weight @ np.logaddexp(0, -margin)) + HOLD / 2 * float(pull @ pull)
        slope = -weight * sign * np.exp(-np.logaddexp(0, margin))
        return value, np.concatenate(([slope.sum()], table.T @ slope + HOLD * pull))

    bounds = [(None, None), *((None, 0.0) if known[n].role == "lowers" else (0.0, None) for n in names)]
    best = minimize(loss, np.concatenate(([_START], priors)), jac=True, bounds=bounds, method="L-BFGS-B").x
    fitted = Weights(
        intercept=0.0,
        threshold=THRESHOLD,
        weights={name: round(float(value), 3) for name, value in zip(names, best[1:], strict=True)},
    )
    benign = [
        (text.source, log_odds(signals, fitted)) for text, signals in zip(texts, found, strict=True) if not text.attack
    ]
    return fitted.model_copy(update={"intercept": -round(max(LEAST, quietest(benign)), 3)})


def log_odds(signals: Found, weights: Weights) -> float:
    """The score before it is squeezed between 0 and 1; minus infinity without a sign."""
    if not signals:
        return -np.inf
    return weights.intercept + sum(signal.strength * weights.weights[name] for name, signal in signals.items())


def quietest(benign: Sequence[tuple[str, float]]) -> float:
    """The lowest log-odds at which benign texts of these sources stay within the budget; minus infinity for none."""
    groups: dict[str, list[float]] = {}
    for source, value in benign:
        groups.setdefault(source, []).append(value)
    levels = [_level(values, WORST) for values in groups.values()]
    return max([_level([value for _, value in benign], BUDGET), *levels], default=-np.inf) if benign else -np.inf


def _level(values: Sequence[float], share: float) -> float:
    """A level that at most ``share`` of the values reach."""
    ordered = sorted(values, reverse=True)
    return ordered[int(share * len(ordered))] + 0.001


def balanced(texts: Sequence[Labelled]) -> np.ndarray:
    """What each text counts: those of one source and label count together as the root of how many they are."""
    sizes = Counter((text.source, text.attack) for text in texts)
    return np.array([sizes[text.source, text.attack] ** -0.5 for text in texts])
