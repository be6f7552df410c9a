"""What a rule file holds: Sigma's own keys, and one of ours, ``firebreak``."""

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from firebreak.detectors.facts import Facts, TokenGrant
from firebreak.detectors.findings import Severity
from firebreak.detectors.records import Origin, Record, join_parts

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=80)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(Strict):
    """One step of a runbook: what to do, on which field of the record, in which time around it."""

    field: str
    action: Text
    window: Annotated[str, StringConstraints(pattern=r"^[1-9]\d* (minutes?|hours?|days?) (before|after|around)$")]

    def __str__(self) -> str:
        return f"{self.action} ({self.field}, {self.window})"


class CaseFacts(Strict):
    canaries: dict[str, tuple[str, ...]] = {}
    tokens: tuple[TokenGrant, ...] | None = None


class Case(Strict):
    """An example beside the rule: a record, and whether the rule is to match it.

    ``record`` holds a record's fields; ``prompt`` may be a list of one-key maps from origin to text. Time,
    workflow, user and token have defaults.
    """

    name: Text
    match: bool
    severity: Severity | None = None
    origin: Origin | None = None
    record: dict[str, Any]
    facts: CaseFacts = CaseFacts()

    @model_validator(mode="after")
    def _whole(self) -> "Case":
        if self.match is (self.severity is None):
            raise ValueError("a case with `match: true` states its severity, one with `match: false` has none")
        if unknown := sorted(set(self.record) - set(Record.model_fields)):
            raise ValueError(f"`record` has no field {', '.join(unknown)}")
        self.build()
        return self

    def build(self) -> tuple[Record, Facts]:
        """The case's record and facts."""
        fields: dict[str, Any] = {
            "id": "case",
            "time": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            "workflow": "answer-tickets",
            "user": "ada",
            "token_id": "support-key",
            **self.record,
        }
        if isinstance(fields.get("prompt"), list):
            texts = [(Origin(origin), text) for part in fields["prompt"] for origin, text in part.items()]
            fields["prompt"], fields["parts"] = join_parts(texts)
        tokens = None if self.facts.tokens is None else {grant.token_id: grant for grant in self.facts.tokens}
        return Record.model_validate(fields), Facts(canaries=self.facts.canaries, tokens=tokens)


class Settings(Strict):
    """The custom key ``firebreak``."""

    kind: Name
    actor: Literal["user", "token", "workflow"]
    runbook: Annotated[tuple[Step, ...], Field(min_length=1)]
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]


class LogSource(Strict):
    product: Literal["firebreak"]
    service: Literal["interaction-log"]


class RuleFile(Strict):
    """The keys of a rule file; ``detection`` is held to the subset by ``sigma_subset.py``."""

    title: Annotated[Text, StringConstraints(max_length=256)]
    id: UUID
    name: Name
    status: Literal["stable", "test", "experimental", "deprecated"] = "stable"
    description: Text
    references: tuple[Text, ...] = ()
    author: Text | None = None
    license: Text | None = None
    date: dt.date | str | None = None
    modified: dt.date | str | None = None
    logsource: LogSource
    detection: dict[str, Any]
    falsepositives: Annotated[tuple[Text, ...], Field(min_length=1)]
    level: Severity
    tags: Annotated[tuple[Text, ...], Field(min_length=1)]
    firebreak: Settings


MODELS: dict[str, type[BaseModel]] = {
    "": RuleFile,
    "logsource": LogSource,
    "firebreak": Settings,
    "runbook": Step,
    "cases": Case,
    "facts": CaseFacts,
    "tokens": TokenGrant,
}
"""The model that says which keys may stand below a key."""
