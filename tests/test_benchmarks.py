"""What the benchmarks hold themselves to: a figure under its aim ends them, by name."""

from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks.drift_causes import Regained, Tally, missed_aims
from tests.benchmarks.scenarios import FEWEST_ROWS, periods
from tests.benchmarks.scenarios.generator import KINDS

GOOD = Regained(before=0.9, drifted=0.7, retrained=0.8, passed=True, worse_refused=True)


def tally(wrong: int, *regained: Regained) -> Tally:
    made = Tally(regained=[*regained])
    for kind in KINDS:
        made.answers[kind, "unclear" if kind == "none" else kind] = 10
    made.answers["data", "data"], made.answers["data", "model"] = 10 - wrong, wrong
    return made


def test_what_reaches_its_aims_misses_nothing() -> None:
    assert missed_aims(tally(1, GOOD, GOOD)) == []


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (tally(2, GOOD), "the cause of `data` named in 90%, not in 8 of 10"),
        (tally(0, GOOD, replace(GOOD, retrained=0.5)), "accuracy regained by retraining on average, not -0.050"),
        (tally(0, GOOD, replace(GOOD, worse_refused=False)), "shuffled labels refused, not 1 of them passed"),
    ],
)
def test_each_aim_that_is_missed_is_named(made: Tally, said: str) -> None:
    (missed,) = missed_aims(made)
    assert said in missed


@pytest.mark.parametrize("rows", [FEWEST_ROWS, 2_000, 4_000, 5_600, 16_000])
def test_the_periods_fit_into_their_table(rows: int) -> None:
    for seed in range(50):
        trained, kept, window = periods(rows, np.random.default_rng(seed))
        assert trained + kept + 3 * window <= rows
        assert min(trained, kept, window) >= 150
