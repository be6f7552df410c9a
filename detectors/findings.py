"""The finding: one detector's claim about a record, with the evidence that made it."""

import hashlib
from datetime import UTC
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from firebreak.detectors.records import Origin


class Severity(StrEnum):
    """Sigma's levels. Compare by ``rank`` (0 low … 3 critical)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class ActorType(StrEnum):
    """What a finding points at, narrowest first; a dataset is what drift was found in."""

    USER = "user"
    TOKEN = "token"  # noqa: S105 - the word, not a secret
    WORKFLOW = "workflow"
    DATASET = "dataset"


class Evidence(BaseModel):
    """What matched: the record's field, an excerpt (at most 200 characters around it) and its span in the field."""

    model_config = ConfigDict(frozen=True)

    field: str
    view: str = Field(default="plain", description="the view of the text that matched: plain, folded, base64 …")
    excerpt: str = ""
    start: int | None = None
    end: int | None = None


class Finding(BaseModel):
    """One rule's claim about one record."""

    model_config = ConfigDict(frozen=True)

    rule: str = Field(description="the rule's id, which is its file's name")
    kind: str = Field(description="kind of trouble: prompt-injection, prompt-leak, unauthorised-use, anomaly …")
    title: str
    severity: Severity
    workflow: str
    actor_type: ActorType
    actor: str
    record_id: str
    flow_run_id: str | None = None
    token_id: str | None = None
    time: AwareDatetime = Field(description="the record's time")
    votes: tuple[str, ...] = Field(default=(), description="the independent ways it was found; certain needs no other")
    origin: Origin | None = Field(default=None, description="the part of the prompt that matched, where one did")
    trusted: bool = True
    attributed: bool = Field(
        default=True, description="False where nobody said that the prompt is the user's own words"
    )
    evidence: tuple[Evidence, ...] = ()
    atlas: tuple[str, ...] = Field(default=(), description="MITRE ATLAS technique ids, as AML.T0051")
    owasp: tuple[str, ...] = Field(default=(), description="OWASP LLM Top 10 (2025) ids, as LLM01:2025")
    runbook: tuple[str, ...] = ()
    cause: str | None = Field(default=None, description="of drift: model, population, data or unclear")
    detail: dict[str, Any] = Field(default_factory=dict, description="the numbers behind the claim, JSON-able")

    @property
    def key(self) -> str:
        """The same rule on the same record is the same finding, whoever saw it.

        An id alone doesn't make a record: a request's id may be reused, or come from somebody else.
        """
        return digest(self.rule, self.workflow, self.actor, self.record_id, self.time.astimezone(UTC).isoformat())

    @property
    def fingerprint(self) -> str:
        """What makes two findings the same trouble."""
        return digest(self.kind, self.workflow, self.actor_type, self.actor)


def digest(*parts: str) -> str:
    """SHA-256 (32 hex digits) over length-prefixed parts, so that no two lists of parts collide by joining."""
    return hashlib.sha256("".join(f"{len(p)}:{p}" for p in parts).encode()).hexdigest()[:32]
