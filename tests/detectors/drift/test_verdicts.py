"""From frames to verdicts: what drifts, what doesn't, and what can't be judged."""

import subprocess
import sys
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from math import isclose
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firebreak.detectors.drift.spec import LABELS, NUMERICAL, DatasetSpec, parse_spec
from firebreak.detectors.drift.verdicts import ColumnVerdict, WindowVerdict, judge

HEAD = "dataset: d\nworkflow: w\nsource: {type: interaction-log}\nwindow: {rows: 200}\nreference: {rows: 400}\n"
NUMBER = "kind: numerical, method: wasserstein, threshold: 0.1"
LABEL = "kind: categorical, method: jensenshannon, threshold: 0.1"


def spec_of(**columns: str) -> DatasetSpec:
    return parse_spec(HEAD + "columns:\n" + "".join(f"  {name}: {{{text}}}\n" for name, text in columns.items()), "s")


def verdict_on(reference: Any, current: Any, column: str = NUMBER) -> ColumnVerdict:
    frames = (pd.DataFrame({"x": side}) for side in (reference, current))
    return judge(spec_of(x=column), *frames).columns[0]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_a_report_of_evidently_s(rng: np.random.Generator) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    def frame(rows: int, shift: float) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "plain": rng.normal(shift, 1, rows),
                "gaps": np.where(rng.random(rows) < 0.3, np.nan, rng.lognormal(shift, 1, rows)),
                "infinite": np.where(rng.random(rows) < 0.1, np.inf, rng.normal(shift, 1, rows)),
                "few": rng.poisson(1 + shift, rows),
                "constant": np.full(rows, 3.5),
                "labels": rng.choice(["a", "b", "c"] if shift else ["a", "b"], rows),
            }
        )

    reference, current = frame(1500, 0), frame(1200, 0.3)
    wanted = [
        (name, method)
        for name in reference
        for method in (LABELS if name == "labels" else NUMERICAL)
    ]  # fmt: skip
    definition = DataDefinition(
        numerical_columns=[name for name in reference if name != "labels"], categorical_columns=["labels"]
    )
    run = Report([ValueDrift(column=name, method=method.value) for name, method in wanted]).run(
        Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
    )
    theirs = [float(metric["value"]) for metric in run.dict()["metrics"]]
    assert len(theirs) == len(wanted) == 23
    for (name, method), value in zip(wanted, theirs, strict=True):
        kind = "categorical" if name == "labels" else "numerical"
        spec = spec_of(**{name: f"kind: {kind}, method: {method}, threshold: 0.1"})
        found = judge(spec, reference, current).columns[0].score
        assert found is not None
        assert isclose(found, value, rel_tol=1e-9, abs_tol=1e-9), (name, method)


@pytest.mark.parametrize("method", NUMERICAL)
def test_numbers_that_rise_fall_or_spread_drift_by_every_method(rng: np.random.Generator, method: str) -> None:
    column, reference = f"kind: numerical, method: {method}, threshold: 0.05", rng.normal(size=400)
    found = [
        verdict_on(reference, window, column)
        for window in (rng.normal(1, 1, 200), rng.normal(-1, 1, 200), rng.normal(0, 4, 200), rng.normal(size=200))
    ]
    assert [verdict.direction for verdict in found[:3]] == ["up", "down", "spread"]
    assert [verdict.drifted for verdict in found[:3]] == [True] * 3
    assert (found[3].drifted, found[3].direction) == (False, None)


@pytest.mark.parametrize(
    ("reference", "current", "direction"),
    [
        (np.full(300, 5), np.full(200, 6), "up"),
        (np.arange(300) % 2, (np.arange(200) % 10) // 9, "down"),
        (np.full(300, 5.0), 5 + np.linspace(-1, 1, 200), "spread"),
        (np.arange(300) % 100, np.where(np.arange(200) % 4, np.arange(200) % 100, 5000), "up"),  # a tail of outliers
        (np.exp(np.linspace(-2, 2, 300)), 2 * np.exp(np.linspace(-2, 2, 200)), "up"),  # doubled: wider as well
    ],
)
def test_the_direction_of_a_drifted_column(reference: Any, current: Any, direction: str) -> None:
    verdict = verdict_on(reference, current)
    assert (verdict.drifted, verdict.direction) == (True, direction)


@pytest.mark.parametrize("method", LABELS)
def test_labels_that_shift_drift_by_every_method_and_say_which(rng: np.random.Generator, method: str) -> None:
    queues = ["access", "billing", "bug", "how-to"]
    column = f"kind: prediction, method: {method}, threshold: 0.05"
    reference = np.repeat(queues, 100)
    verdict = verdict_on(reference, np.repeat(queues, [50, 100, 20, 30]), column)
    assert (verdict.drifted, verdict.direction, verdict.effect) == (True, "mix", 0.25)
    assert verdict.categories == ("billing +0.25", "bug -0.15", "how-to -0.10")
    same = verdict_on(reference, np.repeat(queues, 50), column)
    assert (same.drifted, same.categories, same.effect) == (False, (), 0.0)


def test_labels_are_shown_short_on_one_line_and_five_at_most() -> None:
    window = np.repeat([f"{letter}\n{'x' * 500}" for letter in "abcdefg"], 30)
    shown = verdict_on(np.repeat(["old"], 400), window, LABEL).categories
    assert len(shown) == 5
    assert shown[0] == "old -1.00"
    assert shown[1] == f"a {'x' * 58} +0.14"


def test_a_small_effect_is_no_drift_however_sure() -> None:
    rng = np.random.default_rng(1)
    reference, current = rng.normal(size=200_000), rng.normal(0.11, 1, 200_000)
    assert verdict_on(reference, current, NUMBER + ", effect: 0.05").drifted is False
    sure = verdict_on(reference, current, NUMBER + ", effect: 0.02")
    assert sure.drifted
    assert sure.p_value is not None
    assert sure.p_value < 1e-100


def test_a_large_effect_that_may_be_chance_is_no_drift(rng: np.random.Generator) -> None:
    verdict = verdict_on(rng.normal(size=12), rng.normal(0.8, 1, 8))
    assert (verdict.score or 0) > 0.3
    assert (verdict.effect or 0) > 0.2
    assert not verdict.drifted


def test_significance_counts_all_columns_together() -> None:
    frames = [pd.DataFrame({f"c{n}": np.linspace(0, 1, rows) for n in range(40)}) for rows in (400, 200)]
    frames[1]["c0"] += 0.14
    p_value = judge(spec_of(c0=NUMBER), *frames).columns[0].p_value
    assert p_value is not None
    assert 0.05 / 40 < p_value < 0.05
    assert judge(spec_of(c0=NUMBER), *frames).drifted == ("c0",)
    assert judge(spec_of(**{name: NUMBER for name in frames[0]}), *frames).drifted == ()


TEXT = ["12", "n/a", "x" * 300]


@pytest.mark.parametrize(
    ("reference", "current", "column", "says"),
    [
        ([], [], NUMBER, "x: can't be judged: the reference has no rows"),
        ([1.0, 2.0], [], LABEL, "x: can't be judged: the current window has no rows"),
        ([1.0, 2.0], [1.0], NUMBER, "x: has a single value in the current window (1 rows)"),
        ([1.0, 2.0], [np.nan, None, 3.0], NUMBER, "x: has a single value in the current window (3 rows)"),
        ([1.0, 2.0], [np.nan] * 3, NUMBER, "x: is missing or infinite in all rows of the current window (3)"),
        ([None, None], ["a", "b"], LABEL, "x: is missing or infinite in all rows of the reference (2)"),
        ([1.0, 2.0], [np.inf, -np.inf], NUMBER, "x: is missing or infinite in all rows of the current window (2)"),
        ([1.0, 2.0], [np.inf, 1.0], NUMBER, "x: has a single value in the current window (2 rows)"),
        (
            [1.0, 2.0],
            TEXT,
            NUMBER,
            "x: should hold numbers; in the current window 3 of 3 values are none, the first is",
        ),
        (["a", 2.0, 1.0], [1.0, 2.0], NUMBER, "x: should hold numbers; in the reference 1 of 3 values are none"),
        ([1.0, 2.0], [datetime(2026, 1, 31, tzinfo=UTC)] * 2, NUMBER, "x: should hold numbers"),
        ([1.0, 2.0], [1j, 2j], NUMBER, "x: should hold numbers"),
        (
            [1.0, 2.0],
            pd.Series([10**400, 1], dtype=object),
            NUMBER,
            "x: can't be compared: int too large to convert to float",
        ),
        ([-1e308, 1e308], [1e308, -1e308], NUMBER, "x: holds numbers too large to compare"),
        (["a", "b"], [["a"], ["b"]], LABEL, "x: holds values in the current window that are no labels"),
        ([1, 2], ["1", "2"], LABEL, "x: holds text on one side and numbers on the other"),
        (range(1000), range(1001), LABEL, "x: has 1001 different labels in the current window; up to 1000"),
        (range(1000), range(500, 1500), LABEL, "x: has 1500 different labels; up to 1000"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(reference: Any, current: Any, column: str, says: str) -> None:
    verdict = verdict_on(reference, current, column)
    assert verdict.refused is not None
    assert verdict.refused.startswith(says)
    assert len(verdict.refused) < 300
    assert (verdict.drifted, verdict.score, verdict.p_value, verdict.effect) == (False, None, None, None)


def test_many_values_that_are_no_labels_are_refused_without_being_compared_to_one_another() -> None:
    window = pd.Series([[n] for n in range(50_000)], dtype=object)
    refused = verdict_on(["a", "b"], window, LABEL).refused  # counted by pandas, these take minutes
    assert refused == "x: holds values in the current window that are no labels (lists or mappings)"


def test_a_million_categories_are_refused_with_their_count() -> None:
    ids = [f"ticket {n}" for n in range(1_000_000)]
    refused = verdict_on(["a", "b"], ids, LABEL).refused
    assert refused is not None
    assert refused.startswith("x: has 1000000 different labels in the current window")


def test_a_column_that_is_missing_or_twice_there_is_refused_and_the_others_are_judged(
    rng: np.random.Generator,
) -> None:
    reference = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400), "c": rng.normal(size=400)})
    current = pd.DataFrame({"a": rng.normal(2, 1, 200), "c": rng.normal(size=200), "d": rng.normal(size=200)})
    current = pd.concat([current, current[["c"]]], axis=1)
    verdict = judge(spec_of(a=NUMBER, b=NUMBER, c=NUMBER, d=LABEL), reference, current)
    assert [column.refused for column in verdict.columns] == [
        None,
        "b: is missing in the current window",
        "c: stands 2 times in the current window",
        "d: is missing in the reference",
    ]
    assert verdict.drifted == ("a",)


def test_infinite_values_and_gaps_are_left_out_of_what_is_compared() -> None:
    verdict = verdict_on([1.0, 2.0, np.nan, np.inf] * 50, [1.0, 2.0, -np.inf] * 50)
    assert (verdict.reference_rows, verdict.current_rows, verdict.score) == (100, 100, 0.0)


@pytest.mark.parametrize(
    "numbers",
    [
        pd.array([1, 2, None, 3] * 50, dtype="Int64"),
        pd.array([1.5, 2.5, None, 3.5] * 50, dtype="Float64"),
        pd.array([True, False, None, True] * 50, dtype="boolean"),
        pd.array([1, 2, None, 3] * 50, dtype="int64[pyarrow]"),
        np.array([1, 2.5, None, np.float32(3)] * 50, dtype=object),
        np.arange(200, dtype=np.uint8),
        np.arange(200, dtype=np.float16),
    ],
    ids=lambda numbers: str(numbers.dtype),
)
def test_every_dtype_that_holds_numbers_is_judged(numbers: Any) -> None:
    verdict = verdict_on(numbers, numbers)
    assert (verdict.refused, verdict.score, verdict.effect, verdict.p_value) == (None, 0.0, 0.0, 1.0)


def test_a_window_below_the_minimum_sample_names_nothing_as_drifted() -> None:
    frames = pd.DataFrame({"x": np.arange(400.0)}), pd.DataFrame({"x": np.arange(99.0) + 9000})
    verdict = judge(spec_of(x=NUMBER), *frames)
    assert (verdict.enough, verdict.columns[0].drifted, verdict.drifted) == (False, True, ())


def test_the_frames_are_not_changed_and_a_verdict_can_be_kept_as_json(rng: np.random.Generator) -> None:
    reference, current = (pd.DataFrame({"x": rng.normal(size=rows), "y": "a"}) for rows in (400, 200))
    copies = reference.copy(), current.copy()
    verdict = judge(spec_of(x=NUMBER, y=LABEL, z=LABEL), reference, current)
    pd.testing.assert_frame_equal(reference, copies[0])
    pd.testing.assert_frame_equal(current, copies[1])
    assert WindowVerdict.model_validate_json(verdict.model_dump_json()) == verdict


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3), st.decimals(),
    st.lists(st.integers(), max_size=2), st.datetimes(), st.complex_numbers(), st.just(pd.NA), st.just(pd.NaT),
    st.just(Decimal("sNaN")), st.just({"a": 1}), st.just(10**400), st.tuples(st.text(max_size=2), st.none()),
)  # fmt: skip


@given(
    reference=st.lists(ODD, max_size=8),
    current=st.lists(ODD, max_size=8),
    column=st.sampled_from(
        [f"kind: numerical, method: {method}, threshold: 0.1" for method in NUMERICAL]
        + [f"kind: categorical, method: {method}, threshold: 0.1" for method in LABELS]
    ),
)
@settings(max_examples=500, deadline=None)
def test_odd_data_is_judged_or_refused_and_never_raises(reference: list[Any], current: list[Any], column: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = verdict_on(pd.Series(reference, dtype=object), pd.Series(current, dtype=object), column)
    if verdict.refused is None:
        assert verdict.score is not None
        assert np.isfinite([verdict.score, verdict.effect or 0, verdict.p_value or 0]).all()
    else:
        assert verdict.refused.startswith("x: ")


def test_neither_evidently_nor_scipy_s_statistics_load_with_the_verdicts() -> None:
    seen = "import sys, firebreak.detectors.drift.verdicts as v; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", seen], check=True, capture_output=True, text=True).stdout.split()
    assert "pandas" in modules
    assert not {"evidently", "mlflow", "prefect", "sklearn", "scipy.stats"} & set(modules)
