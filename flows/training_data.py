"""The data of a retraining: labelled records, cut by time into training and test, and where they came from.

Nothing an attacker supplied, nothing without a label, no row in training and in a test, and no row in a test
that the champion was trained on.
"""

import hashlib
import math
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firebreak.blocks.renew_reference import accused
from firebreak.blocks.retraining_rules import RetrainingRules
from firebreak.blocks.store import Excluded
from firebreak.blocks.store.incidents import canonical
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.flows.retraining_errors import RetrainingRefused

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "recent", "reference")


@dataclass(frozen=True)
class Rows:
    """Records by id, with text and label, oldest first."""

    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def sha256(self) -> str:
        """Of the canonical JSON of ``[[id, SHA-256 of the text, label], …]``."""
        hashed = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in self.texts]
        body = [list(row) for row in zip(self.ids, hashed, self.labels, strict=True)]
        return hashlib.sha256(canonical(body).encode()).hexdigest()


@dataclass(frozen=True)
class TrainingData:
    """``train`` is older than ``recent``, the newest labelled records; ``reference`` are the drift reference's own."""

    train: Rows
    recent: Rows
    reference: Rows
    left_out: dict[str, int]

    @property
    def lineage(self) -> dict[str, Any]:
        """What is frozen as evidence: no text, only ids and hashes."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {
            "rows": {name: len(rows) for name, rows in parts.items()},
            "left_out": self.left_out,
            "sha256": {name: rows.sha256 for name, rows in parts.items()},
            "ids": {name: list(rows.ids) for name, rows in parts.items()},
        }


def build(
    frame: "pd.DataFrame",
    reference: "pd.DataFrame | None",
    spec: DatasetSpec,
    rules: RetrainingRules,
    excluded: Excluded,
    seen: AbstractSet[str] = frozenset(),
) -> TrainingData:
    """The split. ``seen`` are the ids that the champion was trained on.

    Errors: RetrainingRefused (a column is missing, too few records, one class only), naming it.
    """
    usable, left_out = labelled(frame, spec, excluded)
    if len(usable) < rules.minimum_records:
        told = ", ".join(f"{count} {why}" for why, count in left_out.items() if count) or "none"
        raise RetrainingRefused(
            f"dataset {spec.dataset}: {len(usable)} labelled records can be used, minimum_records is "
            f"{rules.minimum_records}; left out: {told}. Collect labels (column {spec.target!r}), or lower it"
        )
    old = _reference_rows(reference, usable, spec, excluded)
    rest = usable[~usable[spec.id].isin(old[spec.id])]
    held = math.ceil(len(rest) * rules.holdout)
    train, recent = rest.iloc[: len(rest) - held], rest.iloc[len(rest) - held :]
    data = TrainingData(
        train=_rows(train, spec),
        recent=_rows(recent[~recent[spec.id].isin(seen)], spec),
        reference=_rows(old[~old[spec.id].isin(seen)], spec),
        left_out={
            **left_out,
            "of a test, known to the champion": int(recent[spec.id].isin(seen).sum() + old[spec.id].isin(seen).sum()),
        },
    )
    if not data.recent:
        raise RetrainingRefused(f"dataset {spec.dataset}: no labelled record newer than the champion's training data")
    if len(classes := sorted(set(data.train.labels))) < 2:
        raise RetrainingRefused(
            f"dataset {spec.dataset}: the {len(data.train)} training records have {len(classes)} class(es) in column "
            f"{spec.target!r}, two are needed"
        )
    return data


def rebuild(
    frame: "pd.DataFrame",
    reference: "pd.DataFrame | None",
    spec: DatasetSpec,
    excluded: Excluded,
    lineage: dict[str, Any],
) -> TrainingData | None:
    """The very data of an earlier attempt; None when it can't be had any more, or shouldn't be (accused since)."""
    usable, _ = labelled(frame, spec, excluded)
    old = _reference_rows(reference, usable, spec, excluded)
    parts = {}
    for name in PARTS:
        table = old if name == "reference" else usable
        parts[name] = _rows(table[table[spec.id].isin(lineage["ids"][name])], spec)
        if parts[name].sha256 != lineage["sha256"][name]:
            return None
    return TrainingData(**parts, left_out=lineage["left_out"])


def labelled(frame: "pd.DataFrame", spec: DatasetSpec, excluded: Excluded) -> tuple["pd.DataFrame", dict[str, int]]:
    """Records with text and an allowed label, by time, each id once; and how many were left out for what."""
    text, target = _columns(frame, spec)
    table = frame.sort_values([spec.time, spec.id], kind="stable")
    known = spec.columns[target].categories
    checks: dict[str, Callable[[Any], Any]] = {
        "without a label": lambda t: ~_filled(t[target]),
        "without text": lambda t: ~_filled(t[text]),
        "with a label that isn't allowed": lambda t: ~t[target].isin(known or t[target]),
        "repeated": lambda t: t[spec.id].duplicated(keep="last"),
        "excluded by an incident": lambda t: accused(t, spec, excluded),
    }
    left_out: dict[str, int] = {}
    for why, wrong in checks.items():
        left = wrong(table)
        left_out[why], table = int(left.sum()), table[~left]
    return table, left_out


def _columns(frame: "pd.DataFrame", spec: DatasetSpec) -> tuple[str, str]:
    if spec.text is None or spec.target is None:
        missing = "text column" if spec.text is None else "column of kind target"
        raise RetrainingRefused(f"dataset {spec.dataset}: its spec names no {missing}; a model can't be trained")
    for name in (spec.id, spec.time, spec.text, spec.target):
        if name not in frame:
            raise RetrainingRefused(f"dataset {spec.dataset}: its rows have no column {name!r}, which the spec names")
    return spec.text, spec.target


def _reference_rows(
    reference: "pd.DataFrame | None", usable: "pd.DataFrame", spec: DatasetSpec, excluded: Excluded
) -> "pd.DataFrame":
    """The reference's labelled rows: with today's label and text where the source still has them."""
    if reference is None or spec.id not in reference:
        return usable.iloc[:0]
    fresh = usable[usable[spec.id].isin(reference[spec.id])]
    needed = {spec.id, spec.time, spec.text, spec.target}
    gone = reference[~reference[spec.id].isin(usable[spec.id])]
    if gone.empty or not needed <= {*gone.columns}:
        return fresh
    kept, _ = labelled(gone, spec, excluded)
    if kept.empty:
        return fresh
    import pandas as pd

    names = [spec.id, spec.time, spec.text, spec.target]
    both = pd.concat([fresh[names], kept[names]]) if len(fresh) else kept[names]
    return both.sort_values([spec.time, spec.id], kind="stable")


def _filled(column: "pd.Series[Any]") -> "pd.Series[bool]":
    return column.map(lambda value: isinstance(value, str) and bool(value.strip())).astype(bool)


def _rows(table: "pd.DataFrame", spec: DatasetSpec) -> Rows:
    return Rows(*(tuple(table[name].tolist()) for name in (spec.id, spec.text, spec.target)))
