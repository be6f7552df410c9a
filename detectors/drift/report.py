"""The drift report: Evidently's own page, for people to look at. Verdicts come from ``verdicts``, on all rows."""

import warnings
from html import escape

import pandas as pd

from firebreak.detectors.drift.frames import bounded, labels
from firebreak.detectors.drift.spec import DatasetSpec

MOST_LABELS = 100
LARGEST = 1e100  # Evidently's histograms overflow near the largest float
OTHER = "(all other labels)"

_LOOKALIKES = str.maketrans(
    {"<": "\u2039", ">": "\u203a", "&": "\uff06"}
)  # Evidently puts labels in a script unescaped
_EMPTY = "<!DOCTYPE html>\n<html lang='en'><head><meta charset='UTF-8'></head><body></body></html>"
_BANNER = (
    "font:16px sans-serif;margin:0;padding:12px 24px;background:#fff4ce;color:#222;border-bottom:2px solid #c58f00"
)

Sides = tuple[pd.Series, pd.Series]


def render(
    spec: DatasetSpec, reference: pd.DataFrame, current: pd.DataFrame, sample_rows: int = 10_000, seed: int = 0
) -> str:
    """One HTML page that needs nothing from elsewhere (about 4 MB: Evidently's program is inside).

    Only the monitored columns enter it, judged by the spec's methods and thresholds, on at most
    ``sample_rows`` rows of each frame, drawn by ``seed``. A banner says so, and names the columns that
    can't be shown, with the reason. Never an exception for odd data: the banner is the page then.
    """
    notes = ["Drawn by method and threshold alone; Firebreak's verdicts also ask for effect and significance."]
    frames = []
    for which, frame in (("reference", reference), ("current", current)):
        if len(frame) > sample_rows:
            notes.append(f"{which}: rendered on a sample of {sample_rows:,} of {len(frame):,} rows; "
                         "verdicts were computed on all rows")  # fmt: skip
            frame = frame.sample(sample_rows, random_state=seed)
        frames.append(frame)
    shown: dict[str, Sides] = {}
    for name in spec.columns:
        sides = _sides(spec, name, frames, notes)
        if sides is not None:
            shown[name] = sides
    return _with_banner(_page(spec, shown) if shown else _EMPTY, notes)


def _sides(spec: DatasetSpec, name: str, frames: list[pd.DataFrame], notes: list[str]) -> Sides | None:
    """The column of both frames, fit to be drawn; what can't be, or is cut, goes into ``notes``."""
    sides = []
    for which, frame in zip(("reference", "current"), frames, strict=True):
        if list(frame.columns).count(name) != 1:
            notes.append(f"{name}: not shown, the {which} has no such column, or two")
            return None
        values = frame[name]
        if spec.columns[name].numerical:
            if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
                values = pd.to_numeric(labels(values), errors="coerce")
            values = values.astype("float64")
            values = values.where(values.abs() <= LARGEST)
        else:
            values = labels(values).map(_label)
        if not values.count():
            notes.append(f"{name}: not shown, the {which} has no value to draw")
            return None
        sides.append(values)
    if spec.columns[name].numerical:
        return sides[0], sides[1]
    return _fewer(name, sides[0], sides[1], notes)


def _label(value: str | None) -> str | None:
    return None if value is None else bounded(value).translate(_LOOKALIKES)


def _fewer(name: str, reference: pd.Series, current: pd.Series, notes: list[str]) -> Sides:
    """At most 100 labels, the most common ones, and one for the rest."""
    counts = pd.concat([reference, current]).value_counts()
    if len(counts) <= MOST_LABELS:
        return reference, current
    notes.append(f"{name}: the {MOST_LABELS} most common labels of {len(counts):,}; the score drawn is of these")
    kept = {*counts.index[:MOST_LABELS]}
    keep = [side.where(side.isin(kept) | side.isna(), OTHER) for side in (reference, current)]
    return keep[0], keep[1]


def _page(spec: DatasetSpec, shown: dict[str, Sides]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's own, about the versions of what it stands on
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        names = {name: name.translate(_LOOKALIKES) for name in shown}
        numerical = [title for name, title in names.items() if spec.columns[name].numerical]
        definition = DataDefinition(
            numerical_columns=numerical,
            categorical_columns=[title for title in names.values() if title not in numerical],
        )
        reference, current = (
            Dataset.from_pandas(
                pd.DataFrame({names[name]: sides[side].reset_index(drop=True) for name, sides in shown.items()}),
                data_definition=definition,
            )
            for side in (0, 1)
        )
        preset = DataDriftPreset(
            columns=list(names.values()),
            per_column_method={title: spec.columns[name].method.value for name, title in names.items()},
            per_column_threshold={title: spec.columns[name].threshold for name, title in names.items()},
        )
        page: str = Report([preset]).run(current, reference).get_html_str(as_iframe=False)
        return page


def _with_banner(page: str, notes: list[str]) -> str:
    lines = "<br>".join(escape(note) for note in notes)
    body = page.index("<body>", page.index("</head>")) + len("<body>")
    return f'{page[:body]}<p role="note" style="{_BANNER}">{lines}</p>{page[body:]}'.lstrip()
