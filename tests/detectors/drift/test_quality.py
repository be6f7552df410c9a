"""Data quality, by the real Evidently: each fault where it is, none where nothing is wrong, never an exception."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from firebreak.blocks.parquet import frame_of_parquet, parquet_of
from firebreak.detectors.drift.frames import UNREADABLE, read_table
from firebreak.detectors.drift.quality import QualityFault, check_quality
from firebreak.detectors.drift.spec import DatasetSpec, parse_spec

SPEC = """
dataset: tickets
workflow: answer-tickets
source: {type: interaction-log}
window: {rows: 200}
reference: {rows: 2000}
columns:
  latency: {kind: numerical, method: wasserstein, threshold: 0.1, minimum: 0, maximum: 10}
  length: {kind: numerical, method: wasserstein, threshold: 0.1}
  language: {kind: categorical, method: jensenshannon, threshold: 0.1, max_missing: 0.2}
  label: {kind: prediction, method: psi, threshold: 0.1, categories: [billing, orders]}
  feedback: {kind: target, method: psi, threshold: 0.1}
"""


def tickets(rows: int, seed: int) -> pd.DataFrame:
    chance = np.random.default_rng(seed)

    def drawn(*labels: str) -> pd.Series:
        return pd.Series([labels[n] for n in chance.integers(0, len(labels), rows)], dtype=object)

    return pd.DataFrame(
        {
            "id": pd.Series([f"{seed}-{n}" for n in range(rows)], dtype=object),
            "latency": chance.uniform(0, 10, rows),
            "length": chance.normal(size=rows),
            "language": drawn("de", "en", "fr"),
            "label": drawn("billing", "orders"),
            "feedback": drawn("billing", "orders"),
        }
    )


REFERENCE = tickets(2000, 0)


def checked(
    current: pd.DataFrame, reference: pd.DataFrame = REFERENCE, spec: str = SPEC
) -> dict[tuple[str | None, str], QualityFault]:
    found = check_quality(_spec(spec), reference, current)
    assert len({(fault.column, fault.check) for fault in found}) == len(found)
    return {(fault.column, fault.check): fault for fault in found}


def _spec(text: str) -> DatasetSpec:
    return parse_spec(text, "tickets.yml")


def changed(rows: int = 200, **columns: Any) -> pd.DataFrame:
    """A window with some cells overwritten: ``length=(5, None)`` empties the first five."""
    frame = tickets(rows, 1)
    for name, (count, value) in columns.items():
        frame.loc[: count - 1, name] = value
    return frame


def test_good_rows_have_no_fault_and_more_columns_are_fine() -> None:
    current = tickets(200, 1).assign(new=1)
    assert checked(current) == {}
    assert checked(current.astype({"label": "str", "language": "category"})) == {}  # as Parquet gives them back


def test_each_fault_is_named_with_what_was_seen_and_what_is_allowed() -> None:
    hostile = "<b>\n\u202e" + "x" * 100
    found = checked(
        changed(latency=(3, 99.0), length=(11, None), language=(20, "xx"), label=(2, hostile), id=(2, "same"))
    )
    assert set(found) == {
        ("latency", "range"),
        ("length", "missing"),
        ("language", "new-category"),
        ("label", "new-category"),
        ("id", "duplicate"),
    }
    assert found["latency", "range"].seen.startswith("3 of 200 values outside")
    assert found["latency", "range"].allowed == "at least 0, at most 10, finite"
    assert found["length", "missing"].seen == "5.5% (11 of 200 rows)"
    assert found["length", "missing"].allowed == "at most 5.0%"
    assert found["label", "new-category"].allowed == "billing, orders"
    assert "'<b>\ufffd\ufffdxxx" in found["label", "new-category"].seen
    assert len(found["label", "new-category"].seen) < 150


def test_what_the_spec_allows_or_chance_explains_is_no_fault() -> None:
    faultless = changed(language=(40, None), feedback=(200, None))  # at most 20 %; feedback comes late
    assert checked(faultless) == {}
    rare = changed(1000).assign(language=REFERENCE["language"])
    rare.loc[0, "language"] = "it"  # one of 1,000: 2,000 rows of reference may well hold none
    assert checked(rare) == {}
    bounded = SPEC.replace("target, ", "target, max_missing: 0.5, ")
    assert set(checked(faultless, spec=bounded)) == {("feedback", "missing")}


def test_infinities_constants_and_repeats() -> None:
    found = checked(changed(length=(4, float("inf")), language=(200, "en")))
    assert set(found) == {("length", "range"), ("language", "constant")}
    assert found["length", "range"].allowed == "finite"
    assert found["language", "constant"].seen == "en in all 200 rows that have a value"
    assert checked(tickets(3, 1).assign(language="en")) == {}  # three of the same are no wonder
    stuck = checked(tickets(200, 1).assign(latency=1.0, length=1.0, language="en", label="orders"))
    assert {check for _, check in stuck} == {"constant"}  # that the rows repeat then says nothing more
    copied = pd.concat([tickets(20, 1)] * 10, ignore_index=True).assign(id=tickets(200, 1)["id"])
    found = checked(copied.assign(feedback=None))
    assert [fault.title for fault in found.values()] == ["Whole rows repeat"]
    assert found[None, "duplicate"].seen == "180 of 200 rows repeat another"


def test_the_schema() -> None:
    current = changed().drop(columns=["latency", "id"]).assign(length="many", label=True)
    current["language"] = ["de", 1] * 100
    found = checked(current)
    assert {key: fault.seen for key, fault in found.items()} == {
        ("id", "schema"): "no such column",
        ("latency", "schema"): "no such column",
        ("length", "schema"): "text",
        ("language", "schema"): "mixed-integer",
        ("label", "schema"): "boolean",
    }
    assert found["label", "schema"].allowed == "text"
    twice = pd.concat([tickets(200, 1), tickets(200, 1)[["length"]]], axis=1)
    assert {key: fault.seen for key, fault in checked(twice).items()} == {
        ("length", "schema"): "2 columns of this name"
    }


def test_a_new_column_is_told_once_where_the_reference_can_tell(tmp_path: Path) -> None:
    spec = _spec(SPEC)

    def table(name: str, **more: Any) -> pd.DataFrame:
        rows = tickets(200, 1).assign(time=pd.date_range("2026-05-01", periods=200, tz="UTC"), note="x", **more)
        rows.to_csv(tmp_path / name, index=False)
        return read_table(spec, tmp_path / name)

    reference = frame_of_parquet(parquet_of(table("before.csv")))  # as the store keeps it
    assert {fault.column for fault in check_quality(spec, reference, table("same.csv"))} == set()
    hostile = "<b>\n" + "x" * 100
    new = table("new.csv", age=1, **{hostile: 2})
    found = {fault.column or "": fault for fault in check_quality(spec, reference, new)}
    assert [name[:8] for name in found] == ["age", "<b>\ufffdxxxx"]
    assert {(fault.check, fault.title[-10:]) for fault in found.values()} == {("schema", "new column")}
    assert max(map(len, found)) <= 60
    for silent in ({}, {"extra": [f"c{n}" for n in range(20)]}):  # it can't tell: none known, or more than are kept
        reference.attrs = silent
        assert check_quality(spec, reference, new) == ()


def test_cells_that_held_no_number_are_told() -> None:
    current = changed().assign(**{UNREADABLE: ['{"length": "n/k"}', None] * 100})
    fault = checked(current)["length", "schema"]
    assert fault.seen == "100 of 200 cells hold no number, the first 'n/k'"


@pytest.mark.parametrize(
    ("current", "reference", "said"),
    [
        (tickets(0, 1), REFERENCE, {(None, "schema")}),
        (pd.DataFrame(), pd.DataFrame(), {(None, "schema")}),
        (tickets(200, 1), tickets(0, 0), {(None, "schema")}),
        (tickets(200, 1), pd.DataFrame(), {(None, "schema")}),
        (tickets(1, 1), REFERENCE, set()),
        (tickets(1, 1), tickets(1, 0).assign(language=None), set()),
        (
            tickets(200, 1).assign(latency=None, length=None, language=None, label=None, feedback=None),
            REFERENCE,
            {(name, "missing") for name in ("latency", "length", "language", "label")},
        ),
        (tickets(200, 1), REFERENCE.assign(length="text", language=None), set()),
    ],
    ids=["no rows", "nothing", "no reference", "no columns", "one row", "one each", "all missing", "odd reference"],
)
def test_odd_frames_never_raise(
    current: pd.DataFrame, reference: pd.DataFrame, said: set[tuple[str | None, str]]
) -> None:
    assert set(checked(current, reference)) == said


def test_as_many_labels_as_rows() -> None:
    rows = 20_000
    unique = pd.Series([f"label {n}" for n in range(rows)], dtype=object)
    current = tickets(rows, 1).assign(language=unique)
    found = checked(current)
    assert set(found) == {("language", "new-category")}
    assert "20,000 of 20,000 labels are new (20,000 different)" in found["language", "new-category"].seen
    assert checked(current, current.assign(id=tickets(rows, 2)["id"])) == {}  # too many to list: all are allowed
