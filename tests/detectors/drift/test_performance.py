"""Performance: honest intervals, and only a fall that is large and no chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from firebreak.detectors.drift.performance import Performance, degraded, performance, wilson


def scored(right: dict[str, int], rows: int = 200) -> Performance:
    """``rows`` of each class, of which the model gets so many right."""
    labels = [name for name in right for _ in range(rows)]
    predictions = [name if n < hits else "other" for name, hits in right.items() for n in range(rows)]
    found = performance(labels, predictions)
    assert found is not None
    return found


@given(st.integers(1, 5000), st.data())
def test_wilson_s_interval_holds_the_share_and_stays_inside_0_and_1(rows: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, rows))
    low, high = wilson(right, rows)
    assert 0 <= low <= right / rows <= high <= 1
    assert low < high
    mirrored = wilson(rows - right, rows)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]))
    theirs = binomtest(right, rows).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_scores_by_hand() -> None:
    found = performance(["a", "a", "a", "b", None, "b"], ["a", "a", "b", "b", "a", float("nan")])
    assert found is not None
    assert (found.rows, found.accuracy, found.left_out) == (4, 0.75, 2)
    a, b = found.classes["a"], found.classes["b"]
    assert (a.rows, a.recall, a.precision) == (3, 2 / 3, 1)
    assert (b.rows, b.recall, b.precision) == (1, 1, 0.5)
    assert a.interval == wilson(2, 3)
    assert b.precision_interval == wilson(1, 2)


def test_labels_unknown_to_the_model_are_wrong_and_said() -> None:
    found = performance(["a", "new", "new", "rare"], ["a", "a", "a", "a"], known=["a", "rare"])
    assert found is not None
    assert (found.accuracy, found.unknown) == (0.25, {"new": 2})
    assert found.classes["new"].recall == 0
    assert found.classes["new"].precision is None


def test_without_labels_there_is_no_score() -> None:
    assert performance([], []) is None
    assert performance([None, float("nan")], ["a", "b"]) is None
    with pytest.raises(ValueError, match="zip"):
        performance(["a"], [])


def test_a_fall_is_found_in_all_and_by_class() -> None:
    before = scored({"billing": 190, "orders": 190})
    faults = degraded(before, scored({"billing": 190, "orders": 90}), 100, 0.05)
    assert [fault.label for fault in faults] == [None, "orders"]
    assert faults[1].title == "recall of 'orders' fell from 95.0% to 45.0% (90 of 200 rows right)"
    assert faults[1].p_value < 1e-9


@pytest.mark.parametrize(
    ("now", "rows", "minimum", "effect"),
    [
        ({"billing": 190, "orders": 190}, 200, 100, 0.05),  # the same
        ({"billing": 200, "orders": 200}, 200, 100, 0.05),  # better
        ({"billing": 170, "orders": 170}, 200, 100, 0.2),  # significant, but small
        ({"billing": 22, "orders": 23}, 25, 10, 0.01),  # large enough, but chance
        ({"billing": 10, "orders": 10}, 200, 1000, 0.05),  # too few rows to say
    ],
)
def test_no_fall_no_fault(now: dict[str, int], rows: int, minimum: int, effect: float) -> None:
    assert degraded(scored({"billing": 190, "orders": 190}), scored(now, rows), minimum, effect) == ()


def test_a_class_without_enough_rows_or_without_a_past_is_not_judged() -> None:
    before = scored({"billing": 190, "orders": 190})
    labels = ["billing"] * 200 + ["orders"] * 19 + ["new"] * 30
    now = performance(labels, ["billing"] * 249)
    assert now is not None
    assert [fault.label for fault in degraded(before, now, 100, 0.05)] == [None]


def test_looking_at_many_classes_finds_no_more_by_chance() -> None:
    few = {"c0": 190}
    many = {f"c{n}": 190 for n in range(40)}
    assert [f.label for f in degraded(scored(few), scored(few | {"c0": 177}), 100, 0.05)] == [None, "c0"]
    assert degraded(scored(many), scored(many | {"c0": 177}), 100, 0.05) == ()
