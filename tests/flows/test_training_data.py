"""What a retraining may learn from, and what it is tested on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.blocks.retraining_rules import RetrainingRules
from firebreak.blocks.store import Excluded
from firebreak.detectors.drift.spec import parse_spec
from firebreak.flows.retraining_errors import RetrainingRefused
from firebreak.flows.training_data import build, rebuild
from tests.flows.retraining_bench import SPEC, TRAINER

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
SPECIFIED = parse_spec(SPEC, "spec.yml")
RULES = RetrainingRules(trainer=TRAINER, minimum_records=20, holdout=0.3)
NOBODY = Excluded()


def frame(rows: int, **columns: Callable[[int], Any]) -> pd.DataFrame:
    made: dict[str, Callable[[int], Any]] = {
        "id": lambda n: f"r{n:03}",
        "time": lambda n: BEGAN + timedelta(minutes=n),
        "user": lambda n: f"u{n % 5}",
        "token_id": lambda n: "key",
        "text": lambda n: f"text {n}",
        "router_label": lambda n: "bug",
        "feedback": lambda n: ["bug", "billing"][n % 2],
    }
    return pd.DataFrame({name: [of(n) for n in range(rows)] for name, of in {**made, **columns}.items()})


def test_the_oldest_train_the_newest_test_and_the_reference_is_a_test_of_its_own() -> None:
    table = frame(100)
    data = build(table.sample(frac=1, random_state=1), table.head(10), SPECIFIED, RULES, NOBODY)
    assert data.reference.ids == tuple(f"r{n:03}" for n in range(10))
    assert data.train.ids == tuple(f"r{n:03}" for n in range(10, 73))
    assert data.recent.ids == tuple(f"r{n:03}" for n in range(73, 100))
    assert data.lineage["rows"] == {"train": 63, "recent": 27, "reference": 10}


@pytest.mark.parametrize(
    ("columns", "excluded", "why", "count"),
    [
        ({"feedback": lambda n: None if n < 7 else ["bug", "billing"][n % 2]}, NOBODY, "without a label", 7),
        ({"feedback": lambda n: "  " if n < 7 else ["bug", "billing"][n % 2]}, NOBODY, "without a label", 7),
        ({"text": lambda n: "" if n < 4 else f"text {n}"}, NOBODY, "without text", 4),
        ({"id": lambda n: f"r{max(n, 3):03}"}, NOBODY, "repeated", 3),
        ({}, Excluded(record_ids=frozenset({"r001", "r050"})), "excluded by an incident", 2),
        ({}, Excluded(users=frozenset({"u1"})), "excluded by an incident", 20),
        ({"token_id": lambda n: "t" if n < 9 else None}, Excluded(tokens=frozenset("t")), "excluded by an incident", 9),
    ],
)
def test_what_may_not_be_learned_is_left_out_and_counted(
    columns: dict[str, Any], excluded: Excluded, why: str, count: int
) -> None:
    data = build(frame(100, **columns), None, SPECIFIED, RULES, excluded)
    assert {name: n for name, n in data.left_out.items() if n} == {why: count}
    assert len(data.train) + len(data.recent) == 100 - count
    assert len(data.reference) == 0


def test_labels_that_the_spec_does_not_allow_are_left_out() -> None:
    allowed = SPEC.replace("feedback: {", "feedback: {categories: [bug, billing], ")
    table = frame(100, feedback=lambda n: "drop table" if n < 6 else ["bug", "billing"][n % 2])
    data = build(table, None, parse_spec(allowed, "spec.yml"), RULES, NOBODY)
    assert data.left_out["with a label that isn't allowed"] == 6
    assert set(data.train.labels) == {"bug", "billing"}


def test_what_the_champion_was_trained_on_is_no_test_of_it() -> None:
    seen = {f"r{n:03}" for n in range(5)} | {"r099"}
    data = build(frame(100), frame(100).head(10), SPECIFIED, RULES, NOBODY, seen)
    assert len(data.reference) == 5
    assert "r099" not in data.recent.ids + data.train.ids
    assert data.left_out["of a test, known to the champion"] == 6


def test_the_reference_gets_labels_that_came_later_and_keeps_rows_the_source_has_lost() -> None:
    table = frame(100)
    old = table.head(10).assign(feedback=[None] * 5 + ["bug"] * 5)
    data = build(table.iloc[3:], old, SPECIFIED, RULES, NOBODY)
    assert data.reference.ids == tuple(f"r{n:03}" for n in range(3, 10))
    gone = build(table.iloc[20:], old, SPECIFIED, RULES, NOBODY)
    assert gone.reference.ids == tuple(f"r{n:03}" for n in range(5, 10))
    assert len(build(table.iloc[20:], old[["id"]], SPECIFIED, RULES, NOBODY).reference) == 0


@pytest.mark.parametrize(
    ("table", "spec", "says"),
    [
        (frame(0), SPEC, "0 labelled records can be used, minimum_records is 20; left out: none"),
        (frame(30, feedback=lambda n: None), SPEC, "0 labelled records .* left out: 30 without a label. Collect"),
        (frame(30).drop(columns="feedback"), SPEC, "no column 'feedback', which the spec names"),
        (frame(30).drop(columns="text"), SPEC, "no column 'text', which the spec names"),
        (frame(30, feedback=lambda n: "bug"), SPEC, r"21 training records have 1 class\(es\) in column 'feedback'"),
        (frame(30), SPEC.replace("kind: target", "kind: categorical"), "its spec names no column of kind target"),
        (frame(30), "text: null\n" + SPEC, "its spec names no text column"),
    ],
)
def test_what_can_not_be_trained_is_refused_by_name(table: pd.DataFrame, spec: str, says: str) -> None:
    with pytest.raises(RetrainingRefused, match=says):
        build(table, None, parse_spec(spec, "spec.yml"), RULES, NOBODY)


def test_no_record_newer_than_the_champions_data_is_refused() -> None:
    with pytest.raises(RetrainingRefused, match="no labelled record newer"):
        build(frame(30), None, SPECIFIED, RULES, NOBODY, {f"r{n:03}" for n in range(30)})


@given(
    rows=st.integers(20, 120),
    old=st.integers(0, 60),
    accused=st.sets(st.integers(0, 120)),
    seen=st.sets(st.integers(0, 120)),
    holdout=st.floats(0.05, 0.8),
)
def test_no_record_is_in_two_parts_none_is_accused_and_time_runs_one_way(
    rows: int, old: int, accused: set[int], seen: set[int], holdout: float
) -> None:
    table, excluded = frame(rows), Excluded(record_ids=frozenset(f"r{n:03}" for n in accused))
    rules = RULES.model_copy(update={"holdout": holdout, "minimum_records": 10})
    try:
        data = build(table, table.head(old), SPECIFIED, rules, excluded, {f"r{n:03}" for n in seen})
    except RetrainingRefused:
        return
    used = [*data.train.ids, *data.recent.ids, *data.reference.ids]
    assert len({*used}) == len(used)
    assert not {*used} & excluded.record_ids
    assert not {*data.recent.ids, *data.reference.ids} & {f"r{n:03}" for n in seen}
    assert max(data.train.ids) < min(data.recent.ids)
    again = rebuild(pd.concat([table, frame(rows + 9).tail(9)]), table.head(old), SPECIFIED, excluded, data.lineage)
    assert again == data


def test_data_that_changed_or_is_accused_since_is_not_built_again() -> None:
    table = frame(60)
    lineage = build(table, None, SPECIFIED, RULES, NOBODY).lineage
    assert rebuild(table, None, SPECIFIED, NOBODY, lineage) is not None
    assert rebuild(table.iloc[1:], None, SPECIFIED, NOBODY, lineage) is None
    assert rebuild(table.replace("text 4", "text 5"), None, SPECIFIED, NOBODY, lineage) is None
    assert rebuild(table, None, SPECIFIED, Excluded(record_ids=frozenset({"r007"})), lineage) is None
