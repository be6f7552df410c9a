"""What is watched for drift: one YAML file a dataset, its columns with method and threshold, window, reference."""

from collections.abc import Sequence
from enum import StrEnum
from math import log, sqrt
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firebreak.detectors.findings import Severity
from firebreak.detectors.yaml_text import read_yaml

MOST_WINDOWS = 200  # that persistence looks back over
SHIPPED = Path(__file__).parents[1] / "datasets" / "support_tickets.yml"


class SpecError(ValueError):
    """The spec can't be used: file, key and what is allowed are in the message."""


class Kind(StrEnum):
    """What a column holds. Prediction and target are class labels, judged as categorical."""

    NUMERICAL = "numerical"
    CATEGORICAL = "categorical"
    PREDICTION = "prediction"
    TARGET = "target"


class Method(StrEnum):
    """Evidently's names. ``ks`` and ``chisquare`` give p-values (small means drift), the others distances."""

    WASSERSTEIN = "wasserstein"
    KS = "ks"
    JENSENSHANNON = "jensenshannon"
    PSI = "psi"
    CHISQUARE = "chisquare"


NUMERICAL = (Method.WASSERSTEIN, Method.KS, Method.JENSENSHANNON, Method.PSI)
LABELS = (Method.JENSENSHANNON, Method.PSI, Method.CHISQUARE)
P_VALUES = (Method.KS, Method.CHISQUARE)
LARGEST = {Method.KS: 1.0, Method.CHISQUARE: 1.0, Method.JENSENSHANNON: sqrt(log(2))}

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Column(_Strict):
    """How one column is judged. Bounds and categories are for the quality check; without max_missing (but for a
    target) and categories, the reference's count."""

    kind: Kind
    method: Method
    threshold: float = Field(gt=0, description="drift from this score on; for a p-value, from it downwards")
    effect: Share = Field(
        default=0.05, description="smallest change worth a word: KS distance for numbers, total variation for labels"
    )
    max_missing: Share | None = Field(default=None, description="share of missing values that is still fine")
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Name, ...] | None = Field(default=None, min_length=1, description="the labels allowed")

    @property
    def numerical(self) -> bool:
        return self.kind is Kind.NUMERICAL

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Column":
        allowed = NUMERICAL if self.numerical else LABELS
        if self.method not in allowed:
            raise ValueError(f"method {self.method} can't judge a {self.kind} column; allowed: {', '.join(allowed)}")
        if self.threshold > LARGEST.get(self.method, self.threshold):
            raise ValueError(f"threshold {self.threshold:g} is never reached; {self.method} allows 0 to "
                             f"{LARGEST[self.method]:.4g}")  # fmt: skip
        if self.numerical and self.categories is not None:
            raise ValueError("categories are for labels; a numerical column takes minimum and maximum")
        if not self.numerical and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"minimum and maximum are for numbers; a {self.kind} column takes categories")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        return self


class Source(_Strict):
    """Where the rows come from: the workflow's interaction log, or a table in a file."""

    type: Literal["interaction-log", "csv", "parquet"]
    path: Path | None = Field(default=None, description="the table; for csv and parquet only")

    @model_validator(mode="after")
    def _has_its_path(self) -> "Source":
        if (self.path is None) != (self.type == "interaction-log"):
            raise ValueError(f"type {self.type} {'needs' if self.path is None else 'takes no'} path")
        return self


class Window(_Strict):
    """How many rows are judged at a time; an unfinished window waits."""

    rows: int = Field(ge=2)


class Reference(_Strict):
    """What windows are compared with: the first ``rows`` rows, renewed after a promotion or never; or a file."""

    renew: Literal["fixed", "last-approved"] = "fixed"
    rows: int = Field(ge=2)
    path: Path | None = Field(default=None, description="a table that is the reference; with renew: fixed only")

    @model_validator(mode="after")
    def _a_file_stays(self) -> "Reference":
        if self.path is not None and self.renew != "fixed":
            raise ValueError(f"a reference in a file is never renewed: path takes renew: fixed, not {self.renew}")
        return self


class Persistence(_Strict):
    """Drift is confirmed when ``k`` of the last ``of`` windows drifted, over after ``recover`` clear ones in a row."""

    k: int = Field(default=2, ge=1)
    of: int = Field(default=3, ge=1, le=MOST_WINDOWS)
    recover: int = Field(default=2, ge=1, le=MOST_WINDOWS)

    @model_validator(mode="after")
    def _can_be_reached(self) -> "Persistence":
        if self.k > self.of:
            raise ValueError(f"k is {self.k}, of is {self.of}: k must be at most of")
        return self


class DatasetSpec(_Strict):
    """The whole file."""

    dataset: str = Field(pattern=r"^[a-z0-9-]+$", max_length=100)
    workflow: Name
    description: str = ""
    severity: Severity = Severity.MEDIUM
    source: Source
    window: Window
    reference: Reference
    minimum_sample: int = Field(default=100, ge=2, description="rows below which a window gives no verdict")
    persistence: Persistence = Persistence()
    degradation: float = Field(
        default=0.05, gt=0, lt=1, description="accuracy or a class's recall lost that is worth a word"
    )
    false_discovery_rate: float = Field(default=0.05, gt=0, lt=1, description="Benjamini-Hochberg over the columns")
    id: Name = "id"
    time: Name = "time"
    text: Name | None = Field(default="text", description="column of raw text: not judged, models read it")
    columns: dict[Name, Column] = Field(min_length=1)

    @property
    def prediction(self) -> str | None:
        return next(iter(self._of(Kind.PREDICTION)), None)

    @property
    def target(self) -> str | None:
        return next(iter(self._of(Kind.TARGET)), None)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that go into the workflow or describe it: neither prediction nor target."""
        return self._of(Kind.NUMERICAL, Kind.CATEGORICAL)

    def _of(self, *kinds: Kind) -> tuple[str, ...]:
        return tuple(name for name, column in self.columns.items() if column.kind in kinds)

    @model_validator(mode="after")
    def _fits_together(self) -> "DatasetSpec":
        for kind in (Kind.PREDICTION, Kind.TARGET):
            if len(named := self._of(kind)) > 1:
                raise ValueError(f"columns: one {kind} at most, found {', '.join(named)}")
        own = [name for name in (self.id, self.time, self.text) if name is not None]
        if len({*own}) < len(own):
            raise ValueError(f"id, time and text must be three different columns, found {', '.join(own)}")
        if taken := [name for name in own if name in self.columns]:
            raise ValueError(f"columns: {', '.join(taken)} can't be judged: named as id, time or text")
        for key, rows in (("window.rows", self.window.rows), ("reference.rows", self.reference.rows)):
            if self.minimum_sample > rows:
                raise ValueError(f"minimum_sample: {self.minimum_sample} is never reached; at most {key}, {rows}")
        return self


def parse_spec(text: str, where: str) -> DatasetSpec:
    """Errors: SpecError naming the file, the key and what is allowed."""
    try:
        data = read_yaml(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise SpecError(f"{where}: expected a mapping with the keys {', '.join(DatasetSpec.model_fields)}")
    try:
        return DatasetSpec.model_validate(data)
    except ValidationError as error:
        lines = [_explain(dict(problem)) for problem in error.errors()]
        raise SpecError(f"{where}: " + "; ".join(lines)) from None


def read_spec(path: Path) -> DatasetSpec:
    """The spec in a file. Errors: SpecError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: can't be read: {error}") from None
    return parse_spec(text, str(path))


def _explain(problem: dict[str, Any]) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_fields_at(problem['loc']))}"
    return f"{key or 'file'}: {problem['msg'].removeprefix('Value error, ')}"


def _fields_at(loc: Sequence[int | str]) -> list[str]:
    """The field names allowed where the last part of ``loc`` stands."""
    models: dict[int | str, type[BaseModel]] = {
        "source": Source,
        "window": Window,
        "reference": Reference,
        "persistence": Persistence,
        "columns": Column,
    }
    return list((models.get(loc[0], DatasetSpec) if len(loc) > 1 else DatasetSpec).model_fields)
