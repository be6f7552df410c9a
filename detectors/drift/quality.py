"""Data quality: whether a window's rows can be trusted, by Evidently's tests and a check of the schema."""

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from firebreak.detectors.drift.frames import MOST_EXTRA, bounded, labels, unreadable_in
from firebreak.detectors.drift.spec import Column, DatasetSpec, Kind

Check = Literal["missing", "range", "new-category", "duplicate", "constant", "schema"]

MARGIN = 0.05  # share of missing or repeated rows beyond the reference's that is still fine
MOST_CATEGORIES = 50  # a reference with more labels than this doesn't say which are allowed
BY_CHANCE = 0.001  # a column that would be constant by chance more often than this is no fault
SHOWN = 5


class QualityFault(BaseModel):
    """One thing wrong with a window's rows (``column`` None: with the rows as a whole)."""

    model_config = ConfigDict(frozen=True)

    column: str | None
    check: Check
    seen: str
    allowed: str
    title: str


@dataclass(frozen=True)
class _Pair:
    """A column of the window beside the reference's, both typed. No reference: ``before`` is empty."""

    name: str
    column: Column
    before: pd.Series
    now: pd.Series


@dataclass(frozen=True)
class _Question:
    """One of Evidently's metrics with its test, and the fault when that fails (of the count found)."""

    metric: Any
    fault: Callable[[int], QualityFault]


def check_quality(spec: DatasetSpec, reference: pd.DataFrame, current: pd.DataFrame) -> tuple[QualityFault, ...]:
    """What is wrong with ``current``'s rows: the schema, then column by column, then the rows as a whole.

    Bounds are the spec's; where it gives none, the reference's: its share of missing values and of repeated
    rows plus 0.05, and its labels when there are at most 50. A label the reference lacks is a fault only in
    more than 3/n of the rows (n: the reference's; by chance it would hold that label, 95 %). A target's
    missing labels are a fault only where the spec bounds them: feedback comes late.
    """
    if current.empty:
        return (_fault(None, "schema", "no rows", "at least 1 row", "the window is empty"),)
    faults = [] if len(reference) else [_fault(None, "schema", "no rows", "at least 1 row", "the reference is empty")]
    faults += _schema(spec, reference, current)
    wrong = {fault.column for fault in faults}
    pairs = [_pair(name, column, reference, current) for name, column in spec.columns.items() if name not in wrong]
    for name, cells in unreadable_in(current).items():
        seen = f"{cells['count']:,} of {len(current):,} cells hold no number, the first {cells['first']!r}"
        faults.append(_fault(name, "schema", seen, "numbers", "cells that hold no number"))
    found = _columns(pairs)
    sound = {pair.name for pair in pairs} - {fault.column for fault in found if fault.check != "new-category"}
    return (*faults, *found, *_repeats(spec, [pair for pair in pairs if pair.name in sound], current))


def _fault(column: str | None, check: Check, seen: str, allowed: str, what: str) -> QualityFault:
    title = f"{column}: {what}" if column else what[0].upper() + what[1:]
    return QualityFault(column=column, check=check, seen=seen, allowed=allowed, title=title)


def _schema(spec: DatasetSpec, reference: pd.DataFrame, current: pd.DataFrame) -> Iterator[QualityFault]:
    """Columns that are missing, there twice, of another type, or new: of none of them the spec or reference knows."""
    for name in (spec.id, *spec.columns):
        found = list(current.columns).count(name)
        column = spec.columns.get(name)
        if found != 1:
            seen = f"{found} columns of this name" if found else "no such column"
            what = "the column is there more than once" if found else "the column is missing"
            yield _fault(name, "schema", seen, "one column", what)
        elif column is not None and not _fits(column, _type(current[name]), _type(_of(reference, name))):
            wanted = "numbers" if column.kind is Kind.NUMERICAL else _type(_of(reference, name))
            allowed = wanted if wanted != "nothing" else "text"
            yield _fault(name, "schema", _type(current[name]), allowed, "the column's type changed")
    before = reference.attrs.get("extra")  # not there: the reference can't tell which other columns its table had
    if before is not None and len(before) < MOST_EXTRA:
        for name in dict.fromkeys(current.attrs.get("extra", ())):
            if name not in before and name not in reference:
                yield _fault(
                    name, "schema", "a column that the reference lacks", "the reference's columns", "new column"
                )


def _of(frame: pd.DataFrame, name: str) -> pd.Series:
    """The column, or an empty one where the frame has no such column, or two."""
    return frame[name] if list(frame.columns).count(name) == 1 else pd.Series(dtype=object)


def _type(values: pd.Series) -> str:
    """nothing, numbers, text, or pandas' own word for what the values are: boolean, mixed, datetime …"""
    if values.isna().all():
        return "nothing"
    kinds = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    found = str(pd.api.types.infer_dtype(kinds, skipna=True))
    numbers = ("integer", "floating", "mixed-integer-float", "decimal")
    return "numbers" if found in numbers else {"string": "text"}.get(found, found)


def _fits(column: Column, now: str, before: str) -> bool:
    if column.kind is Kind.NUMERICAL:
        return now in ("numbers", "nothing")
    return now in ("text", "nothing") or (now == before and not now.startswith("mixed"))


def _pair(name: str, column: Column, reference: pd.DataFrame, current: pd.DataFrame) -> _Pair:
    before = _of(reference, name)
    if not _fits(column, _type(before), _type(current[name])):
        before = before.iloc[:0]
    if column.kind is Kind.NUMERICAL:
        return _Pair(name, column, before.astype("float64"), current[name].astype("float64"))
    return _Pair(name, column, labels(before), labels(current[name]))


def _columns(pairs: list[_Pair]) -> list[QualityFault]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's own, about the versions of what it stands on
        questions = [q for pair in pairs for ask in (_missing, _range, _categories, _constant) for q in ask(pair)]
        if not questions:
            return []
        numerical = [pair.name for pair in pairs if pair.column.kind is Kind.NUMERICAL]
        frame = pd.DataFrame({pair.name: pair.now for pair in pairs})
        return _ask(questions, frame, numerical)


def _ask(questions: list[_Question], frame: pd.DataFrame, numerical: list[str]) -> list[QualityFault]:
    """The faults whose test fails, of one Evidently report on ``frame``."""
    from evidently import DataDefinition, Dataset, Report

    labelled = [name for name in frame.columns if name not in numerical]
    # Labels go in as text: of a categorical column Evidently lists each label at once, 5 s for a million of them.
    definition = DataDefinition(numerical_columns=numerical, text_columns=labelled)
    run = Report([q.metric for q in questions]).run(Dataset.from_pandas(frame, data_definition=definition), None)
    faults = []
    for question in questions:
        result = run.context.get_metric_result(question.metric)
        if any(test.status.value == "FAIL" for test in result.tests):
            count = result.count.value if hasattr(result, "count") else result.value
            faults.append(question.fault(int(count)))
    return faults


def _missing(pair: _Pair) -> Iterator[_Question]:
    from evidently.metrics import MissingValueCount
    from evidently.tests import lte

    bound = pair.column.max_missing
    if bound is None and len(pair.before) and pair.column.kind is not Kind.TARGET:
        bound = float(pair.before.isna().mean()) + MARGIN
    if bound is not None and bound < 1:
        limit, rows = bound, len(pair.now)

        def fault(count: int) -> QualityFault:
            seen = f"{count / rows:.1%} ({count:,} of {rows:,} rows)"
            return _fault(pair.name, "missing", seen, f"at most {limit:.1%}", "too many values are missing")

        yield _Question(MissingValueCount(column=pair.name, share_tests=[lte(limit)]), fault)


def _range(pair: _Pair) -> Iterator[_Question]:
    from evidently.metrics import OutRangeValueCount
    from evidently.tests import lte

    if pair.column.kind is not Kind.NUMERICAL or not pair.now.count():
        return
    low, high = pair.column.minimum, pair.column.maximum
    left = -sys.float_info.max if low is None else low
    right = sys.float_info.max if high is None else high

    def fault(count: int) -> QualityFault:
        seen = f"{count:,} of {pair.now.count():,} values outside, from {pair.now.min():g} to {pair.now.max():g}"
        bounds = [f"at {side} {bound:g}" for side, bound in (("least", low), ("most", high)) if bound is not None]
        return _fault(pair.name, "range", seen, ", ".join([*bounds, "finite"]), "values out of range")

    yield _Question(OutRangeValueCount(column=pair.name, left=left, right=right, tests=[lte(0)]), fault)


def _categories(pair: _Pair) -> Iterator[_Question]:
    from evidently.metrics import OutListValueCount
    from evidently.tests import lte

    if pair.column.kind is Kind.NUMERICAL or not pair.now.count():
        return
    given = pair.column.categories
    allowed = sorted(given if given is not None else pair.before.dropna().unique())
    if not allowed or (given is None and len(allowed) > MOST_CATEGORIES):
        return
    share = 0.0 if given is not None else min(1.0, 3 / pair.before.count())

    def fault(count: int) -> QualityFault:
        new = pair.now.dropna()
        new = new[~new.isin(allowed)]
        common = ", ".join(f"{bounded(label)!r} {rows:,}" for label, rows in new.value_counts().head(SHOWN).items())
        seen = f"{count:,} of {pair.now.count():,} labels are new ({new.nunique():,} different): {common}"
        more = f" and {len(allowed) - SHOWN} more" if len(allowed) > SHOWN else ""
        return _fault(pair.name, "new-category", seen, ", ".join(map(bounded, allowed[:SHOWN])) + more, "new labels")

    yield _Question(OutListValueCount(column=pair.name, values=allowed, share_tests=[lte(share)]), fault)


def _constant(pair: _Pair) -> Iterator[_Question]:
    """A column that always varied and now holds one value: no value may lie outside of the first."""
    from evidently.metrics import OutListValueCount, OutRangeValueCount
    from evidently.tests import gt

    values = pair.now.dropna()
    shares = pair.before.value_counts(normalize=True)
    if len(values) < 2 or len(shares) < 2 or shares.iloc[0] ** len(values) > BY_CHANCE:
        return
    only = values.iloc[0]
    if pair.column.kind is not Kind.NUMERICAL:
        metric = OutListValueCount(column=pair.name, values=[only], tests=[gt(0)])
    elif abs(only) <= sys.float_info.max:
        metric = OutRangeValueCount(column=pair.name, left=only, right=only, tests=[gt(0)])
    else:
        return
    seen = f"{bounded(only)} in all {len(values):,} rows that have a value"
    fault = _fault(pair.name, "constant", seen, f"it varies: {len(shares):,} values in the reference", "one value only")
    yield _Question(metric, lambda _: fault)


def _repeats(spec: DatasetSpec, pairs: list[_Pair], current: pd.DataFrame) -> list[QualityFault]:
    """Ids that repeat, and whole rows of ``pairs`` that repeat more than the reference's (as many rows of each)."""
    faults = []
    ids = _of(current, spec.id).dropna()
    if len(ids):
        faults += _duplicates(_digests(labels(ids).to_frame()), 0, spec.id, "none repeats", "ids repeat")
    known = [pair for pair in pairs if pair.column.kind is not Kind.TARGET and len(pair.before)]
    if known:
        rows = min(len(current), len(known[0].before))
        before = _digests(pd.DataFrame({pair.name: pair.before.iloc[-rows:] for pair in known}))
        now = _digests(pd.DataFrame({pair.name: pair.now.iloc[-rows:] for pair in known}))
        share = min(1.0, float(before.duplicated().mean() if len(before) else 0.0) + MARGIN)
        if len(now):
            faults += _duplicates(now, int(share * len(now)), None, f"at most {share:.1%}", "whole rows repeat")
    return faults


def _digests(frame: pd.DataFrame) -> pd.Series:
    """One number a row, so that Evidently compares one column and not each with each; empty rows left out."""
    return pd.util.hash_pandas_object(frame.dropna(how="all"), index=False)


def _duplicates(values: pd.Series, most: int, column: str | None, allowed: str, what: str) -> list[QualityFault]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.metrics import DuplicatedRowCount
        from evidently.tests import lte

        def fault(count: int) -> QualityFault:
            return _fault(column, "duplicate", f"{count:,} of {len(values):,} rows repeat another", allowed, what)

        return _ask([_Question(DuplicatedRowCount(tests=[lte(most)]), fault)], values.to_frame("row"), [])
