"""The numbers are Evidently's, on whatever a column may hold; the tests of significance keep what they promise."""

import warnings
from collections.abc import Callable, Iterator
from math import isclose, isnan

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2_contingency, fisher_exact, ks_2samp

from firebreak.detectors.drift import methods
from firebreak.detectors.drift.samples import counts, numbers
from firebreak.detectors.drift.spec import LABELS, NUMERICAL, Method

Evidently = Callable[[Method, pd.Series, pd.Series, bool], float]


@pytest.fixture(scope="module")
def evidently() -> Iterator[Evidently]:
    """Evidently's own function for a method on a column, cleaned as its drift metric does. Takes 10 s to import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

        def score(method: Method, reference: pd.Series, current: pd.Series, numerical: bool) -> float:
            kind = ColumnType.Numerical if numerical else ColumnType.Categorical
            first, second = (side.replace([-np.inf, np.inf], np.nan).dropna() for side in (reference, current))
            return float(get_stattest(first, second, kind, method.value)(first, second, kind, None).drift_score)

        yield score


def ours(method: Method, reference: pd.Series, current: pd.Series, numerical: bool) -> float:
    frames = reference.to_frame("x"), current.to_frame("x")
    with np.errstate(all="ignore"):
        if not numerical:
            _, first, second = counts(*frames, "x")
            if method is Method.CHISQUARE:
                return methods.chisquare(first, second)
            shares = methods.label_shares(first, second)
        else:
            sample = numbers(*frames, "x")
            if method in (Method.WASSERSTEIN, Method.KS):
                return methods.wasserstein(sample) if method is Method.WASSERSTEIN else methods.ks(sample)
            shares = methods.shares(sample)
    return methods.psi(*shares) if method is Method.PSI else methods.jensenshannon(*shares)


def sampled(reference: np.ndarray, current: np.ndarray) -> methods.Numbers:
    return numbers(pd.DataFrame({"x": reference}), pd.DataFrame({"x": current}), "x")


def same(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


RNG = np.random.default_rng(7)
COLUMNS = {
    "normal": (RNG.normal(size=700), RNG.normal(0.3, 1.2, 400)),
    "heavy tail": (RNG.lognormal(3, 2, 900), RNG.lognormal(3.2, 2, 450)),
    "missing and infinite": (
        np.where(RNG.random(500) < 0.2, np.nan, RNG.normal(size=500)),
        np.where(RNG.random(400) < 0.1, np.inf, RNG.normal(size=400)),
    ),
    "whole numbers, many": (RNG.integers(0, 5000, 800), RNG.integers(100, 5000, 300)),
    "whole numbers, narrow": (RNG.integers(0, 23, 800), RNG.integers(0, 23, 300)),
    "twenty values": (np.arange(400) % 20, np.arange(300) % 21),
    "twenty-one values": (np.arange(420) % 21, np.arange(300) % 20),
    "few values": (RNG.poisson(1.0, 600), RNG.poisson(1.4, 300)),
    "constant": (np.full(300, 0.1), np.full(200, 0.1)),
    "constant, another": (np.full(300, 5), np.full(200, 6)),
    "constant, then not": (np.full(300, 0.1), RNG.normal(size=200)),
    "new and lost values": (np.arange(300) % 3, np.arange(200) % 4 + 1),
    "single precision": (
        RNG.normal(1e4, 1, 700).astype(np.float32),
        RNG.normal(1e4, 2, 300).astype(np.float32),
    ),
    "yes and no": (RNG.random(300) < 0.5, RNG.random(300) < 0.7),
    "large and small": (RNG.normal(1e12, 1e3, 300), RNG.normal(1e12, 1e3, 200)),
    "unequal": (RNG.normal(size=12_000), RNG.normal(0.02, 1, 300)),
    "more than one block": (RNG.normal(size=80_000), RNG.normal(0.05, 1, 60_000)),
    "two rows": (np.array([1.0, 2.0]), np.array([2.0, 4.0])),
}


@pytest.mark.parametrize("method", NUMERICAL)
@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, in Evidently's own code
def test_numbers_are_scored_as_evidently_does(evidently: Evidently, name: str, method: Method) -> None:
    reference, current = (pd.Series(side) for side in COLUMNS[name])
    assert same(ours(method, reference, current, True), evidently(method, reference, current, True))


LABELLED = {
    "text": (RNG.choice(["a", "b", "c"], 400), RNG.choice(["a", "b", "c"], 200, p=[0.2, 0.5, 0.3])),
    "new label": (RNG.choice(["a", "b"], 400), RNG.choice(["a", "b", "new"], 200)),
    "lost label": (RNG.choice(["a", "b", "c"], 400), RNG.choice(["a", "b"], 200)),
    "nothing in common": (np.full(50, "a"), np.full(60, "b")),
    "whole numbers": (RNG.integers(0, 50, 400), RNG.integers(0, 50, 300)),
    "missing": (np.array(["a", None, "b", "a"] * 50, dtype=object), np.array(["b", None] * 50, dtype=object)),
    "numbers with infinity": (np.array([1, 2, np.inf, 2.0] * 50), np.array([1, 2, np.nan, -np.inf] * 50)),
    "mixed": (np.array(["a", 1, 2.5, True] * 50, dtype=object), np.array(["a", 2, "b"] * 50, dtype=object)),
    "many": (RNG.integers(0, 900, 3000), RNG.integers(0, 900, 2000)),
    "rare": (np.array(["a"] * 99_999 + ["b"]), np.array(["a"] * 100 + ["c"])),
}


@pytest.mark.parametrize("method", LABELS)
@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_labels_are_scored_as_evidently_does(evidently: Evidently, name: str, method: Method) -> None:
    reference, current = (pd.Series(side) for side in LABELLED[name])
    assert same(ours(method, reference, current, False), evidently(method, reference, current, False))


def test_a_category_column_counts_only_labels_that_occur(evidently: Evidently) -> None:
    kind = pd.CategoricalDtype(["a", "b", "never"])
    reference, current = pd.Series(["a", "b"] * 50, dtype=kind), pd.Series(["a", "a", "b"] * 50, dtype=kind)
    for method in LABELS:
        assert same(ours(method, reference, current, False), evidently(method, reference, current, False))


def test_one_label_throughout_is_no_change_where_evidently_has_no_number(evidently: Evidently) -> None:
    reference, current = pd.Series(["a"] * 50), pd.Series(["a"] * 40)
    assert ours(Method.CHISQUARE, reference, current, False) == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert isnan(evidently(Method.CHISQUARE, reference, current, False))


SIZES = st.integers(2, 60)
VALUES = st.one_of(
    st.floats(-1e6, 1e6, width=32), st.integers(-5, 5).map(float), st.sampled_from([np.nan, np.inf, -np.inf])
)
COLUMN = SIZES.flatmap(lambda rows: arrays(np.float64, rows, elements=VALUES))


@given(reference=COLUMN, current=COLUMN, method=st.sampled_from(NUMERICAL))
@settings(max_examples=300, deadline=None)
def test_any_numbers_are_scored_as_evidently_does(
    evidently: Evidently, reference: np.ndarray, current: np.ndarray, method: Method
) -> None:
    assume(min(np.isfinite(reference).sum(), np.isfinite(current).sum()) > 1)
    first, second = pd.Series(reference), pd.Series(current)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = evidently(method, first, second, True)
    assert same(ours(method, first, second, True), theirs)


WORDS = st.lists(st.sampled_from(["a", "b", "c", "ü", "", None]), min_size=2, max_size=80)


@given(reference=WORDS, current=WORDS, method=st.sampled_from(LABELS))
@settings(max_examples=300, deadline=None)
def test_any_labels_are_scored_as_evidently_does(
    evidently: Evidently, reference: list[str | None], current: list[str | None], method: Method
) -> None:
    sides = [pd.Series(side, dtype=object) for side in (reference, current)]
    assume(all(side.notna().sum() > 1 for side in sides))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = evidently(method, sides[0], sides[1], False)
    found = ours(method, sides[0], sides[1], False)
    assert same(found, theirs) or (isnan(theirs) and found == 1.0)


@given(reference=COLUMN, current=COLUMN)
@settings(deadline=None)
def test_the_ks_distance_is_scipy_s_and_its_significance_a_probability(
    reference: np.ndarray, current: np.ndarray
) -> None:
    first, second = reference[np.isfinite(reference)], current[np.isfinite(current)]
    assume(min(len(first), len(second)) > 1)
    sample = sampled(reference, current)
    assert isclose(sample.ks_distance, ks_2samp(first, second, method="asymp").statistic, abs_tol=1e-12)
    assert 0 <= methods.ks_significance(sample) <= 1


WHOLE = st.sampled_from(["int8", "int32", "uint32", "int64", "uint64"]).flatmap(
    lambda kind: arrays(np.dtype(kind), st.integers(2, 40))
)


@given(values=st.one_of(WHOLE, arrays(np.int64, 30, elements=st.integers(2**63 - 60_000, 2**63 - 1))))
def test_whole_numbers_come_out_sorted_whatever_their_range(values: np.ndarray) -> None:
    np.testing.assert_array_equal(sampled(values, values).reference, np.sort(values))


def chance(draw: Callable[[np.random.Generator, int], np.ndarray], rows: tuple[int, int], times: int = 400) -> float:
    """How often two samples of the same kind differ at the 5 % level."""
    rng = np.random.default_rng(3)
    called = 0
    for _ in range(times):
        called += methods.ks_significance(sampled(draw(rng, rows[0]), draw(rng, rows[1]))) < 0.05
    return called / times


@pytest.mark.parametrize("rows", [(400, 200), (5000, 1000), (30, 12)])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, size: rng.normal(size=size),
        lambda rng, size: rng.integers(0, 60, size),
        lambda rng, size: rng.poisson(0.4, size),
        lambda rng, size: rng.random(size) < 0.01,
    ],
    ids=["normal", "whole numbers", "few values", "rare"],
)
def test_numbers_without_drift_differ_as_often_as_said(
    draw: Callable[[np.random.Generator, int], np.ndarray], rows: tuple[int, int]
) -> None:
    assert chance(draw, rows) <= 0.085  # 5 % and three standard errors of 400 tries


TABLE = st.integers(2, 6).flatmap(
    lambda labels: st.tuples(*[st.lists(st.integers(0, 40), min_size=labels, max_size=labels)] * 2)
)


@given(table=TABLE)
@settings(deadline=None)
def test_counts_are_compared_as_scipy_does(table: tuple[list[int], list[int]]) -> None:
    counted = np.array(table, dtype=float)
    assume(counted.sum(axis=1).min() > 0)
    found = methods.count_significance(*counted)
    assert 0 <= found <= 1
    used = counted[:, counted.sum(axis=0) > 0]
    if used.shape[1] < 2:
        assert found == 1.0
        return
    test = chi2_contingency(used, correction=False)
    if test.expected_freq.min() >= 5:
        assert isclose(found, test.pvalue, rel_tol=1e-9, abs_tol=1e-12)
    elif used.shape[1] == 2:
        assert isclose(found, fisher_exact(used).pvalue, rel_tol=1e-6, abs_tol=1e-12)


def test_labels_that_are_all_rare_are_compared_by_shuffling() -> None:
    rng = np.random.default_rng(5)
    reference, current = (np.bincount(rng.integers(0, 100, rows), minlength=200) for rows in (400, 200))
    replaced = np.roll(current, 100)
    assert methods.count_significance(reference.astype(float), current.astype(float)) > 0.05
    assert methods.count_significance(reference.astype(float), replaced.astype(float)) < 0.001


@given(p_values=st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=30), rate=st.floats(0.001, 0.5))
def test_benjamini_hochberg_calls_the_largest_set_that_holds(p_values: dict[str, float], rate: float) -> None:
    called = methods.significant(p_values, rate)
    sizes = [n for n in range(1, len(p_values) + 1) if sorted(p_values.values())[n - 1] <= rate * n / len(p_values)]
    assert len(called) == max(sizes, default=0)
    assert all(p_values[name] <= rate for name in called)
    if called:
        assert max(p_values[name] for name in called) <= min(
            (p for name, p in p_values.items() if name not in called), default=1
        )
