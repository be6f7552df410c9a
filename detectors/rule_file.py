"""What a rule file holds: Sigma's own keys, and one of ours, ``firebreak``."""

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from firebreak.detectors.facts import Facts, TokenGrant
from firebreak.detectors.findings import Severity
from firebreak.detectors.leaks.fingerprints import fingerprint
from firebreak.detectors.records import Origin, Record, join_parts
from firebreak.detectors.usage.counts import microseconds
from firebreak.detectors.usage.history import TokenUse
from firebreak.detectors.usage.window import UsageWindow

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=80)]
Duration = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d{0,5})[smhd]$")]
CASE_TIME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Of a ``Duration``, as 10m."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(Strict):
    """One step of a runbook: what to do, on which field of the record, in which time around it."""

    field: str
    action: Text
    window: Annotated[str, StringConstraints(pattern=r"^[1-9]\d* (minutes?|hours?|days?) (before|after|around)$")]

    def __str__(self) -> str:
        return f"{self.action} ({self.field}, {self.window})"


class CaseUse(Strict):
    """What is remembered of a token; ``origins`` are networks."""

    token_id: Text
    first_used: AwareDatetime
    last_used: AwareDatetime
    calls: int = 1000
    origins: tuple[Text, ...] = ()

    def build(self) -> TokenUse:
        first, last = microseconds(self.first_used), microseconds(self.last_used)
        return TokenUse(first, last, self.calls, dict.fromkeys(self.origins, last))


class CaseFacts(Strict):
    canaries: dict[str, tuple[str, ...]] = {}
    system_prompts: dict[str, Text] = {}
    tokens: tuple[TokenGrant, ...] | None = None
    history: tuple[CaseUse, ...] = ()

    def build(self) -> Facts:
        tokens = None if self.tokens is None else {grant.token_id: grant for grant in self.tokens}
        history = {use.token_id: use.build() for use in self.history}
        prompts = {name: kept for name, text in self.system_prompts.items() if (kept := fingerprint(text))}
        return Facts(canaries=self.canaries, system_prompts=prompts, tokens=tokens, history=history)


class Example(Strict):
    """An example beside a rule: whether the rule is to match it, and how grave that is."""

    name: Text
    match: bool
    severity: Severity | None = None
    facts: CaseFacts = CaseFacts()

    @model_validator(mode="after")
    def _states_the_severity(self) -> "Example":
        if self.match is (self.severity is None):
            raise ValueError("a case with `match: true` states its severity, one with `match: false` has none")
        return self


class Case(Example):
    """Of a rule that judges one record (``record``: its fields), or one window of use (``window``: its fields).

    ``prompt`` may be a list of one-key maps from origin to text. Time, workflow, user and token have defaults.
    """

    origin: Origin | None = None
    record: dict[str, Any] | None = None
    window: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Case":
        if (self.record is None) is (self.window is None):
            raise ValueError("a case has a `record`, or a `window` where the rule's service is usage")
        if self.record is not None:
            self.build()
        else:
            self.build_window()
        return self

    def build(self) -> tuple[Record, Facts]:
        """The case's record and facts."""
        return build_record(self.record or {}, CASE_TIME, "case"), self.facts.build()

    def build_window(self) -> tuple[UsageWindow, Facts]:
        """The case's window and facts."""
        given = {"subject": "workflow", "workflow": "answer-tickets", "began_at": CASE_TIME, **(self.window or {})}
        given.setdefault("name", given["workflow"] if given["subject"] == "workflow" else "support-key")
        return UsageWindow.model_validate(given), self.facts.build()


def build_record(given: dict[str, Any], time: dt.datetime, number: str) -> Record:
    """A case's record. Errors: ValueError for what no record has."""
    if unknown := sorted(map(str, set(given) - set(Record.model_fields))):
        raise ValueError(f"`record` has no field {', '.join(unknown)}")
    defaults = {"id": number, "time": time, "workflow": "answer-tickets", "user": "ada", "token_id": "support-key"}
    fields: dict[str, Any] = {**defaults, **given}
    if isinstance(fields.get("prompt"), list):
        texts = [(Origin(origin), text) for part in fields["prompt"] for origin, text in part.items()]
        fields["prompt"], fields["parts"] = join_parts(texts)
    return Record.model_validate(fields)


class Settings(Strict):
    """The custom key ``firebreak``."""

    kind: Name
    actor: Literal["user", "token", "workflow"]
    vote: Literal["certain", "patterns", "score", "model"] = "patterns"
    runbook: Annotated[tuple[Step, ...], Field(min_length=1)]


class RuleSettings(Settings):
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]


class LogSource(Strict):
    product: Literal["firebreak"]
    service: Literal["interaction-log", "usage"]


class AnyFile(Strict):
    """The keys that rules and correlations share."""

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
    falsepositives: Annotated[tuple[Text, ...], Field(min_length=1)]
    level: Severity
    tags: Annotated[tuple[Text, ...], Field(min_length=1)]
    firebreak: Settings


class RuleFile(AnyFile):
    """A rule; its ``detection`` is held to the subset by ``sigma_subset.py``."""

    logsource: LogSource
    detection: dict[str, Any]
    firebreak: RuleSettings

    @model_validator(mode="after")
    def _cases_go_with_the_service(self) -> "RuleFile":
        wanted = "window" if self.logsource.service == "usage" else "record"
        for case in self.firebreak.cases:
            if getattr(case, wanted) is None:
                raise ValueError(f"case `{case.name}` needs a `{wanted}`: that is what the rule's service is about")
        return self


MODELS: dict[str, type[BaseModel]] = {
    "logsource": LogSource,
    "firebreak": RuleSettings,
    "runbook": Step,
    "cases": Case,
    "facts": CaseFacts,
    "tokens": TokenGrant,
    "history": CaseUse,
}
"""The model that says which keys may stand below a key."""
