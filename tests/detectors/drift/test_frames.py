"""Frames: every record once, in order, typed; tables read by the spec or refused by name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.drift.columns import COLUMNS
from firebreak.detectors.drift.frames import FrameError, frame_of, labels, read_table, unreadable_in, windows
from firebreak.detectors.drift.spec import DatasetSpec, parse_spec
from firebreak.detectors.records import Origin, Part, Record

START = datetime(2026, 1, 1, tzinfo=UTC)


def record(number: int, **fields: Any) -> Record:
    given = {"id": f"r{number}", "time": START + timedelta(seconds=number // 2), "workflow": "answer-tickets"}
    return Record.model_validate(given | fields)


def spec_for(path: Path, kind: str = "csv") -> DatasetSpec:
    return parse_spec(
        f"""
dataset: claims
workflow: claims
source: {{type: {kind}, path: {path}}}
window: {{rows: 2}}
reference: {{rows: 2}}
minimum_sample: 2
columns:
  amount: {{kind: numerical, method: wasserstein, threshold: 0.1}}
  region: {{kind: categorical, method: psi, threshold: 0.1}}
""",
        "claims.yml",
    )


def test_a_record_becomes_a_typed_row() -> None:
    prompt = "Where's my order 66?"
    frame = frame_of([record(1, prompt=prompt, response="Soon", latency_ms=12, router_label="orders")])
    row = frame.iloc[0]
    assert (row["text"], row["prompt_length"], row["response_length"]) == (prompt, 20, 4)
    assert row["non_letter_share"] == pytest.approx(4 / 20)
    assert row["feedback"] is None
    assert list(frame.columns) == list(COLUMNS)
    for empty in (frame, frame_of([])):
        assert {name for name in empty if empty[name].dtype == "float64"} == {
            name for name, kind in COLUMNS.items() if kind == "number"
        }
        assert str(empty["time"].dtype) == "datetime64[us, UTC]"


def test_only_the_user_s_own_text_counts_as_text() -> None:
    parts = (Part(origin=Origin.DOCUMENT, start=0, end=4), Part(origin=Origin.USER, start=6, end=8))
    mixed = frame_of([record(1, prompt="1234\n\nab", parts=parts), record(2, prompt="1234", parts=parts[:1])])
    assert mixed["text"].tolist() == ["ab", ""]
    assert mixed["non_letter_share"].tolist() == [0, 0]
    assert mixed["prompt_length"].tolist() == [8, 4]


def test_errors_are_left_out_and_counted() -> None:
    frame = frame_of([record(1), record(2, error="timeout"), record(1, error="again")])
    assert (frame["id"].tolist(), frame.attrs["left_out"]) == (["r1"], 2)


def test_a_later_line_only_adds_what_the_earlier_lacks() -> None:
    call = record(1, prompt="hello", latency_ms=5.0)
    label = record(1, time=START + timedelta(hours=1), feedback="billing", latency_ms=9.0, prompt="forged")
    for order in ([call, label], [label, call]):
        frame = frame_of(order)
        assert frame[["text", "latency_ms", "feedback"]].values.tolist() == [["hello", 5.0, "billing"]]
        assert frame["time"].tolist() == [pd.Timestamp(call.time)]


def test_a_number_beyond_any_float_is_infinite() -> None:
    assert frame_of([record(1, prompt_tokens=10**400)])["prompt_tokens"].tolist() == [float("inf")]


@given(st.data())
def test_no_record_is_lost_or_doubled_whatever_the_order(data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, 20), unique=True))
    late = data.draw(st.lists(st.sampled_from(numbers), unique=True)) if numbers else []
    lines = [record(n, prompt=f"text {n}", latency_ms=float(n)) for n in numbers]
    lines += [record(n, time=START + timedelta(days=1), feedback=f"label {n}") for n in late]
    frame = frame_of(lines)
    assert sorted(frame["id"]) == sorted(f"r{n}" for n in numbers)
    assert frame["feedback"].notna().sum() == len(late)
    assert list(zip(frame["time"], frame["id"], strict=True)) == sorted(zip(frame["time"], frame["id"], strict=True))
    pd.testing.assert_frame_equal(frame, frame_of(data.draw(st.permutations(lines))))


@given(st.integers(0, 40), st.integers(1, 12))
def test_windows_are_whole_and_lose_nothing_before_the_rest(rows: int, size: int) -> None:
    frame = frame_of(record(n) for n in range(rows))
    cut = windows(frame, size)
    assert [len(window) for window in cut] == [size] * (rows // size)
    assert [i for window in cut for i in window["id"]] == frame["id"].tolist()[: rows - rows % size]


def test_a_window_holds_rows() -> None:
    with pytest.raises(ValueError, match="at least 1 row"):
        windows(frame_of([]), 0)


def test_a_csv_is_typed_by_the_spec(tmp_path: Path) -> None:
    table = tmp_path / "claims.csv"
    table.write_text(
        "\ufeffid,time,amount,region,unused\n"
        "b,2026-01-02T00:00:00Z,7,NA,x\n"
        "a,2026-01-02T01:00:00+01:00,inf,,x\n"
        "c,2026-01-01,twelve,north,x\n"
        "d,yesterday,1,south,x\n"
        "e,2026-01-03T00:00:00Z,n/k,south,x\n"
    )
    frame = read_table(spec_for(table))
    assert frame["id"].tolist() == ["c", "a", "b", "e"]
    assert frame["region"].tolist() == ["north", None, "NA", "south"]  # NA is a label, an empty cell is none
    assert frame["amount"].isna().tolist() == [True, False, False, True]
    assert "unused" not in frame
    assert frame.attrs == {
        "set_aside": 1,
        "unreadable": {"amount": {"count": 2, "first": "twelve"}},
        "extra": ("unused",),
    }
    assert [unreadable_in(window) for window in windows(frame, 3)] == [{"amount": {"count": 1, "first": "twelve"}}]


def test_a_parquet_file_is_read_as_the_csv_is(tmp_path: Path) -> None:
    table = tmp_path / "claims.parquet"
    rows = {"id": [2**53 + 1, 4], "time": pd.to_datetime(["2026-01-02", "2026-01-01"]), "amount": ["1.5", "?"]}
    pd.DataFrame(rows | {"region": pd.Categorical(["north", None])}).to_parquet(table)
    frame = read_table(spec_for(table, "parquet"))
    assert frame["id"].tolist() == ["4", str(2**53 + 1)]
    assert frame["region"].tolist() == [None, "north"]
    assert frame["amount"].tolist()[1] == 1.5
    assert frame.attrs["unreadable"] == {"amount": {"count": 1, "first": "?"}}
    pd.testing.assert_frame_equal(read_table(spec_for(tmp_path / "none.csv"), table), frame)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_who_asked_is_kept_and_other_columns_are_named(tmp_path: Path, kind: str) -> None:
    table = tmp_path / f"claims.{kind}"
    rows = pd.DataFrame(
        {"id": ["a", "b"], "time": ["2026-01-01", "2026-01-02"], "user": [7, 8], "token_id": ["k", None]}
    )
    rows = rows.assign(**{f"more {n}": 1 for n in range(30)}, **{"x" * 90: 1, "b\x1b[1m": 1}, amount=3.0)
    rows = rows[[*reversed(rows.columns)]]
    if kind == "csv":
        rows.to_csv(table, index=False)
    else:
        rows.to_parquet(table, index=False)
    frame = read_table(spec_for(table, kind))
    assert sorted(frame) == ["amount", "id", "time", "token_id", "user"]
    assert frame["user"].tolist() == ["7", "8"]
    assert frame["token_id"].tolist() == ["k", None]
    assert frame.attrs["extra"][:3] == ("b\ufffd[1m", "x" * 59 + "…", "more 29")
    assert len(frame.attrs["extra"]) == 20


def test_a_missing_column_stays_missing(tmp_path: Path) -> None:
    table = tmp_path / "claims.csv"
    table.write_text("id,time\n")
    assert list(read_table(spec_for(table)).columns) == ["id", "time"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "claims.csv: can't be read as csv"),
        ("id,amount\n1,2\n", "no column 'time'; name the one that holds it under `time:`"),
        ("time,amount\n2026-01-01,2\n", "no column 'id'"),
        ("id,time\n1,soon\n", "column 'time': no time is readable ('soon')"),
        ("id,time\n1,1767225600\n", "no time is readable ('1767225600')"),
        ("id,time,amount,amount\n1,2026-01-01,2,3\n", "2 columns are called 'amount'"),
        ('id,time\n"1,2026-01-01\n', "check source.path and source.type"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "claims.csv"
    table.write_text(text)
    with pytest.raises(FrameError) as refused:
        read_table(spec_for(table))
    assert said in str(refused.value)
    assert str(table) in str(refused.value)


def test_other_refusals_name_the_file(tmp_path: Path) -> None:
    nested, broken = tmp_path / "nested.parquet", tmp_path / "broken.parquet"
    times = pd.to_datetime(["2026-01-01"])
    pd.DataFrame({"id": ["1"], "time": times, "region": [["north"]]}).to_parquet(nested)
    broken.write_bytes(b"PAR1 and then nothing")
    for table, said in ((nested, "'region' holds list"), (broken, "as parquet"), (tmp_path / "gone.csv", "No such")):
        with pytest.raises(FrameError, match=said):
            read_table(spec_for(table, table.suffix[1:]))


def test_whole_numbers_are_the_same_labels_as_int_and_as_float() -> None:
    assert labels(pd.Series([1.0, None])).tolist() == ["1", None]
    assert labels(pd.Series([1, 2])).tolist() == ["1", "2"]
    assert labels(pd.Series([1.5, float("inf")])).tolist() == ["1.5", "inf"]
