"""Frames: interaction records and tables as one typed pandas frame, ordered by time.

Numbers are float64, labels and texts ``object`` with None where there is none, times UTC (microseconds).
"""

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from firebreak.detectors.drift.columns import COLUMNS
from firebreak.detectors.drift.spec import DatasetSpec, Kind
from firebreak.detectors.records import Origin, Record

UNREADABLE = "_unreadable"  # beside the data: what a row's cells held that should have been numbers (JSON)
LONGEST_LABEL = 60
ACTORS = ("user", "token_id")  # kept of a table beside the spec's columns: the rows of a quarantined one are left out
MOST_EXTRA = 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_NUMBER = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A"]


class FrameError(ValueError):
    """A table can't be read as a frame: file, column and remedy are in the message."""


def bounded(value: object, longest: int = LONGEST_LABEL) -> str:
    """Untrusted text as a label: at most ``longest`` characters, all printable."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in str(value)[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1] + "…"


def frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """One row a call, by time, then id; ``attrs["left_out"]`` counts the records that carry an error.

    Lines of one id are one call: the earliest (of equal times, the first read) counts, and a later one
    only adds what it lacks, as a feedback label that came afterwards.
    """
    rows: dict[str, tuple[int, dict[str, Any]]] = {}
    left_out = 0
    for record in records:
        if record.error is not None:
            left_out += 1
            continue
        time, row = (record.time - _EPOCH) // timedelta(microseconds=1), _row(record)
        before, kept = rows.get(record.id, (time, {}))
        earlier, later = (kept, row) if before <= time else (row, kept)
        rows[record.id] = min(before, time), later | earlier
    frame = pd.DataFrame({name: _column(name, rows) for name in COLUMNS})
    frame = frame.sort_values(["time", "id"], kind="stable", ignore_index=True)
    frame.attrs["left_out"] = left_out
    return frame


def _column(name: str, rows: dict[str, tuple[int, dict[str, Any]]]) -> pd.Series:
    if name == "id":
        return pd.Series(list(rows), dtype=object)
    if name == "time":
        moments = pd.Series([time for time, _ in rows.values()], dtype="int64")
        return moments.astype("datetime64[us]").dt.tz_localize("UTC")
    absent = {"text": "", "prompt_length": 0.0, "non_letter_share": 0.0}.get(name)
    values = [row.get(name, absent) for _, row in rows.values()]
    return pd.Series(values, dtype="float64" if COLUMNS[name] == "number" else object)


def _row(record: Record) -> dict[str, Any]:
    """What the record holds; what it lacks is absent."""
    row: dict[str, Any] = {}
    for name in ("user", "token_id", "flow_run_id", "model_version", "router_label", "router_version", "feedback"):
        row[name] = getattr(record, name)
    for name in ("latency_ms", "prompt_tokens", "response_tokens", "router_confidence"):
        row[name] = _number(getattr(record, name))
    if record.response is not None:
        row["response_length"] = float(len(record.response))
    if record.prompt:
        text = record.text_from(Origin.USER)
        row |= {"text": text, "prompt_length": float(len(record.prompt)), "non_letter_share": _non_letters(text)}
    return {name: value for name, value in row.items() if value is not None}


def _number(value: float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:  # an integer beyond any float
        return float("inf") if value is not None and value > 0 else float("-inf")


def _non_letters(text: str) -> float:
    letters_and_space = sum(map(str.isalpha, text)) + sum(map(str.isspace, text))
    return 1 - letters_and_space / len(text) if text else 0.0


def windows(frame: pd.DataFrame, rows: int) -> list[pd.DataFrame]:
    """``frame`` (ordered by time) cut into whole windows of ``rows`` rows; the rest waits for more."""
    if rows < 1:
        raise ValueError(f"window.rows: {rows}; a window holds at least 1 row")
    cut = [frame.iloc[start : start + rows] for start in range(0, len(frame) - rows + 1, rows)]
    whole = [window.reset_index(drop=True) for window in cut]
    for window in whole:
        window.attrs = {"unreadable": unreadable_in(window)} if UNREADABLE in window else {}
    return whole


def unreadable_in(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Cells of numerical columns that held no number, as ``{column: {"count": 3, "first": "n/k"}}``."""
    found: dict[str, dict[str, Any]] = {}
    for cells in frame[UNREADABLE].dropna() if UNREADABLE in frame else ():
        for column, value in json.loads(cells).items():
            found.setdefault(column, {"count": 0, "first": value})["count"] += 1
    return found


def read_table(spec: DatasetSpec, path: Path | None = None) -> pd.DataFrame:
    """The spec's source, or the table at ``path`` (.parquet, else CSV), in order.

    Only the columns the spec names, and user and token_id; the names of the others, at most 20, are in
    ``attrs["extra"]``. A cell of a numerical column that holds no number becomes missing and is counted, with the
    first one's text, in ``attrs["unreadable"]``. Rows whose time can't be read are left out, and counted in
    ``attrs["set_aside"]``. A monitored column that the file lacks is absent from the frame.

    Raises:
        FrameError: no such file, not a table of this type, no column of ids or times, or no readable time.
    """
    kind = spec.source.type if path is None else "parquet" if path.suffix == ".parquet" else "csv"
    path = path or spec.source.path
    if path is None or kind not in _READERS:
        raise FrameError(f"source.type: {kind} is no table; give type csv or parquet, and its path")
    numerical = {name for name, column in spec.columns.items() if column.kind is Kind.NUMERICAL}
    wanted = list(dict.fromkeys([spec.id, spec.time, *([spec.text] if spec.text else []), *spec.columns, *ACTORS]))
    try:
        raw = _READERS[kind](path, wanted, numerical)
    except FrameError:
        raise
    except (OSError, ValueError) as error:  # pandas' and Arrow's errors of parsing are ValueErrors
        why = bounded(" ".join(str(error).split()), 200)
        raise FrameError(f"{path}: can't be read as {kind}: {why}; check source.path and source.type") from None
    for key, name in (("id", spec.id), ("time", spec.time)):
        if name not in raw:
            raise FrameError(f"{path}: no column {name!r}; name the one that holds it under `{key}:` in the spec")
    return _typed(raw, spec, numerical, path)


def _typed(raw: pd.DataFrame, spec: DatasetSpec, numerical: set[str], path: Path) -> pd.DataFrame:
    times = _times(raw[spec.time])
    if len(raw) and times.isna().all():
        first = bounded(raw[spec.time].iloc[0])
        raise FrameError(f"{path}: column {spec.time!r}: no time is readable ({first!r}); write 2026-01-31T12:00:00Z")
    bad: dict[int, dict[str, str]] = {}
    columns: dict[str, pd.Series] = {}
    for name in raw.columns:
        if name == spec.time:
            columns[name] = times
        elif name in numerical:
            columns[name], cells = _numbers(raw[name])
            for row, cell in cells.items():
                bad.setdefault(row, {})[name] = cell
        else:
            columns[name] = labels(raw[name])
    if bad:
        marks = [json.dumps(bad[row]) if row in bad else None for row in range(len(raw))]
        columns[UNREADABLE] = pd.Series(marks, dtype=object)
    frame = pd.DataFrame(columns)[times.notna().to_numpy()]
    frame = frame.sort_values([spec.time, spec.id], kind="stable", ignore_index=True)
    frame.attrs = raw.attrs | {"set_aside": int(times.isna().sum()), "unreadable": unreadable_in(frame)}
    return frame


def _times(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values):  # seconds or milliseconds since when? not guessed
        return pd.Series(pd.NaT, index=values.index, dtype="datetime64[us, UTC]")
    if not pd.api.types.is_datetime64_any_dtype(values):
        values = pd.to_datetime(labels(values), utc=True, errors="coerce", format="ISO8601")
    return pd.to_datetime(values, utc=True).dt.as_unit("us")


def _numbers(values: pd.Series) -> tuple[pd.Series, dict[int, str]]:
    """The column as float64, and the cells (by row) that hold no number."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.astype("float64"), {}
    texts = values if isinstance(values.dtype, pd.StringDtype) else labels(values)
    numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
    wrong = (numbers.isna() & texts.notna()).to_numpy().nonzero()[0]
    return numbers, {int(row): bounded(texts.iloc[row]) for row in wrong}


def labels(values: pd.Series) -> pd.Series:
    """Text (``object``), None where there is none; whole numbers as labels read the same as int and as float."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    texts = values.astype(object).where(values.notna(), None)
    if pd.api.types.infer_dtype(texts, skipna=True) in ("string", "empty"):
        return texts
    return pd.Series([None if value is None else str(value) for value in texts], index=texts.index, dtype=object)


def _read_csv(path: Path, wanted: list[str], numerical: set[str]) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    present = [name for name in wanted if name in header]
    for name in present:
        if header.count(name) > 1:
            raise FrameError(f"{path}: {header.count(name)} columns are called {name!r}; give each its own name")
    labels = [name for name in present if name not in numerical]
    options: dict[str, Any] = {
        "usecols": present,
        "index_col": False,
        "encoding": "utf-8-sig",
        "keep_default_na": False,  # a label may well be called NA
        "na_values": {name: _NO_NUMBER if name in numerical else [""] for name in present},
    }
    dtypes = dict.fromkeys(labels, "category")
    try:
        frame = pd.read_csv(path, dtype=dtypes | dict.fromkeys(numerical & set(present), "float64"), **options)
    except UnicodeDecodeError:
        raise
    except ValueError:  # some cell is no number: read them as text, and see which
        frame = pd.read_csv(path, dtype=dtypes | dict.fromkeys(numerical & set(present), "str"), **options)
    frame.attrs["extra"] = _extra(header, wanted)
    return frame


def _read_parquet(path: Path, wanted: list[str], numerical: set[str]) -> pd.DataFrame:
    import pyarrow
    from pyarrow import parquet

    names = parquet.read_schema(path).names
    table = parquet.ParquetFile(path).read(columns=[name for name in wanted if name in names])
    for place, field in enumerate(table.schema):
        if pyarrow.types.is_nested(field.type):
            raise FrameError(f"{path}: column {field.name!r} holds {field.type}; only plain values can be monitored")
        if pyarrow.types.is_integer(field.type) and field.name not in numerical:  # pandas makes floats of them
            table = table.set_column(place, field.name, table.column(place).cast(pyarrow.string()))
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    frame.attrs["extra"] = _extra(names, wanted)
    return frame


def _extra(names: list[str], wanted: list[str]) -> tuple[str, ...]:
    return tuple(bounded(name) for name in dict.fromkeys(names) if name not in wanted)[:MOST_EXTRA]


_READERS = {"csv": _read_csv, "parquet": _read_parquet}
