"""What a correlation file holds: Sigma's ``correlation`` over other rules, and our key ``firebreak`` as on any rule."""

import datetime as dt
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from firebreak.detectors.facts import Facts
from firebreak.detectors.records import Record
from firebreak.detectors.rule_file import (
    CASE_TIME,
    AnyFile,
    CaseFacts,
    Duration,
    Example,
    Settings,
    Step,
    Strict,
    build_record,
    seconds,
)

TYPES = ("event_count", "value_count")
OPERATORS = ("gt", "gte", "lt", "lte", "eq")
MOST_COUNTED = 1_000
MOST_RECORDS = 2_000

# What a correlation may group by or count: short values that a log line shows as they are.
OF_RECORDS = ("workflow", "flow_run_id", "user", "token_id", "model", "model_version", "endpoint", "source_address",
              "status", "router_label", "router_version", "feedback")  # fmt: skip
OF_FINDINGS = ("workflow", "flow_run_id", "user", "token_id")
"""A finding keeps no more of its record: all that a correlation with ``generate: true`` may name."""


class Times(Strict):
    """Records of a case: ``times`` alike, the first ``at`` so long after the case's beginning, then one ``every``."""

    at: Duration = "0s"
    times: Annotated[int, Field(ge=1, le=MOST_RECORDS)] = 1
    every: Duration = "1s"
    record: dict[str, Any]

    def build(self, number: int) -> list[Record]:
        began, step = CASE_TIME + dt.timedelta(seconds=seconds(self.at)), seconds(self.every)
        times = (began + dt.timedelta(seconds=n * step) for n in range(self.times))
        return [build_record(self.record, time, f"case-{number}-{n}") for n, time in enumerate(times)]


class CorrelationCase(Example):
    """Records with times; ``findings`` says how many the correlation raises over them (1 where it matches)."""

    records: Annotated[tuple[Times, ...], Field(min_length=1)]
    findings: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _whole(self) -> "CorrelationCase":
        self.build()
        return self

    def build(self) -> tuple[list[Record], Facts]:
        """The case's records in the order of their times, and its facts."""
        records = [record for number, times in enumerate(self.records) for record in times.build(number)]
        return sorted(records, key=lambda record: record.time), self.facts.build()


class CorrelationSettings(Settings):
    cases: Annotated[tuple[CorrelationCase, ...], Field(min_length=1)]


class CorrelationFile(AnyFile):
    """``correlation`` is held to the subset by ``correlation_subset.py``."""

    correlation: dict[str, Any]
    firebreak: CorrelationSettings


CORRELATION_MODELS: dict[str, type[BaseModel]] = {
    "firebreak": CorrelationSettings,
    "runbook": Step,
    "cases": CorrelationCase,
    "records": Times,
    "facts": CaseFacts,
}
"""The model that says which keys may stand below a key."""
