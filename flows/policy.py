"""The response policy: which playbook answers which incident, who must agree, which tokens may do what."""

import re
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from firebreak.blocks.alerting_rules import BLOCK, Recipient
from firebreak.blocks.retraining_rules import GateRules, RetrainingRules
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.approvals import Identity
from firebreak.blocks.store.automation import Breaker, Budget, Limits
from firebreak.blocks.store.ledger import Approval, OnFailure
from firebreak.detectors.allowlist import Allow
from firebreak.detectors.facts import TokenGrant
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.rule_file import seconds
from firebreak.detectors.yaml_text import read_yaml

LONGEST_ALLOWED = timedelta(days=366)


class PolicyError(Exception):
    """The policy can't be used: file, key and what is allowed are in the message."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _seconds(text: Any) -> int:
    if not isinstance(text, str) or not re.fullmatch(r"[1-9][0-9]{0,5}[mhd]", text):
        raise ValueError("write a duration as 30m, 24h or 7d")
    return seconds(text)


Duration = Annotated[int, BeforeValidator(_seconds)]


class PlaybookStep(_Strict):
    """One action, by its block: ``stop-workflow`` means the block document ``stop-workflow/firebreak``."""

    action: str = Field(pattern=r"^[a-z0-9-]+(/[a-z0-9-]+)?$")
    approval: Approval = Field(
        default="auto", description="auto: at once; one: a person decides in the UI; two: two different people do"
    )
    on_failure: OnFailure = Field(
        default="stop", description="stop: a person is asked; go-on: the next step; undo: what was done, in reverse"
    )
    expires_after: Duration | None = Field(
        default=None, description="30m, 24h or 7d: then `reconcile` undoes it; absent: it stands until the release"
    )
    parameters: dict[str, Any] = Field(default_factory=dict)


class When(_Strict):
    """All must hold; an empty list holds always."""

    kind: tuple[str, ...] = ()
    severity: tuple[Severity, ...] = ()
    actor: tuple[ActorType, ...] = ()
    cause: tuple[Literal["model", "population", "data", "unclear"], ...] = ()

    def matches(self, incident: Incident) -> bool:
        return (
            (not self.kind or incident.kind in self.kind)
            and (not self.severity or incident.severity in self.severity)
            and (not self.actor or incident.actor_type in self.actor)
            and (not self.cause or incident.cause in self.cause)
        )


class Playbook(_Strict):
    """What to do about incidents of a kind and severity, step by step."""

    name: str
    description: str
    when: When = When()
    steps: tuple[PlaybookStep, ...] = ()


class Escalation(_Strict):
    """Who else is told, and how long before the request expires."""

    minutes: float = Field(gt=0, description="before expiry")
    notify: str = Field(pattern=BLOCK, description="a Prefect notification block as type/name")


class ApprovalRules(_Strict):
    """How a person is asked. A request that nobody answers expires, and that is a no."""

    expires_minutes: float = Field(default=30, gt=0, le=7 * 24 * 60)
    identity: Identity = Field(
        default="totp", description="totp: approvers are enrolled and type a code; none: whoever reaches the form"
    )
    remind_minutes: float | None = Field(default=None, gt=0, description="before expiry; absent: nobody is reminded")
    notify: str | None = Field(
        default=None, pattern=BLOCK, description="reminders go through this notification block; absent: to the log"
    )
    escalate: tuple[Escalation, ...] = Field(default=(), description="the next people, while nobody has decided")

    @model_validator(mode="after")
    def _before_expiry(self) -> Self:
        for minutes in (self.remind_minutes, *(each.minutes for each in self.escalate)):
            if minutes is not None and minutes >= self.expires_minutes:
                raise ValueError(f"{minutes:g} minutes before expiry is before the request ({self.expires_minutes:g})")
        return self


class Policy(_Strict):
    """The whole file."""

    version: Literal[1]
    approval: ApprovalRules = ApprovalRules()
    close_quiet_hours: float = Field(default=24, gt=0, description="incidents nothing acts on close after this quiet")
    tokens: tuple[TokenGrant, ...] | None = Field(default=None, description="the token register; absent: none is kept")
    allow: tuple[Allow, ...] = Field(default=(), description="findings that are known and expected, each until a day")
    retraining: RetrainingRules | None = Field(default=None, description="how new models are made; absent: not at all")
    budgets: dict[str, Budget] = Field(default={}, description="how often an action may run without asking")
    breaker: Breaker = Breaker()
    recipients: tuple[Recipient, ...] = Field(default=(), description="whom notify-team tells, when, how often")
    playbooks: tuple[Playbook, ...]

    @model_validator(mode="after")
    def _each_recipient_once(self) -> Self:
        if len({one.name for one in self.recipients}) < len(self.recipients):
            raise ValueError("recipients: each name may stand there once")
        return self

    @property
    def limits(self) -> Limits:
        return Limits(self.budgets, self.breaker)

    def playbook_for(self, incident: Incident) -> Playbook:
        """The first that matches. Without one, the incident is only watched."""
        watch = Playbook(name="watch", description="No playbook matches: watched only.")
        return next((p for p in self.playbooks if p.when.matches(incident)), watch)


def parse_policy(text: str, where: str) -> Policy:
    """Errors: PolicyError naming the file, the key and what is allowed."""
    try:
        data = read_yaml(text)
    except yaml.YAMLError as error:
        raise PolicyError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise PolicyError(f"{where}: expected a mapping with the keys {', '.join(Policy.model_fields)}")
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        lines = [_explain(dict(problem)) for problem in error.errors()]
        raise PolicyError(f"{where}: " + "; ".join(lines)) from None


def expired(policy: Policy, today: date, where: str) -> list[str]:
    """Allow-list entries whose last day is over. Errors: PolicyError (one would stand for more than a year)."""
    for entry in policy.allow:
        if entry.until > today + LONGEST_ALLOWED:
            raise PolicyError(
                f"{where}: allow: {entry.name}: until {entry.until} is too far; at most a year: "
                f"{today + LONGEST_ALLOWED}"
            )
    return [
        f"allow-list: {entry.name} ended on {entry.until}: it keeps nothing back any more"
        for entry in policy.allow
        if entry.until < today
    ]


def load_policy(store: Store) -> Policy:
    """The policy in force, from the store. Errors: PolicyError before the first bootstrap."""
    text = store.registers.policy()
    if text is None:
        raise PolicyError("the store holds no policy: run `python -m firebreak.deployments.bootstrap`")
    return _in_force(text)


@lru_cache(maxsize=2)
def _in_force(text: str) -> Policy:
    """Read once for each text: `reconcile` asks for it many times a minute."""
    return parse_policy(text, "policy in the store")


def read_policy(path: Path) -> tuple[str, Policy]:
    """A policy file's text and meaning. Errors: PolicyError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: can't be read: {error}") from None
    return text, parse_policy(text, str(path))


def _explain(problem: dict[str, Any]) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_fields_at(problem['loc']))}"
    return f"{key or 'file'}: {problem['msg']}"


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    """The field names allowed where the last part of ``loc`` stands."""
    models: dict[str, type[BaseModel]] = {
        "approval": ApprovalRules,
        "budgets": Budget,
        "breaker": Breaker,
        "recipients": Recipient,
        "escalate": Escalation,
        "tokens": TokenGrant,
        "allow": Allow,
        "retraining": RetrainingRules,
        "gate": GateRules,
        "playbooks": Playbook,
        "when": When,
        "steps": PlaybookStep,
    }
    names = [part for part in loc[:-1] if isinstance(part, str)]
    return list(next((models[name] for name in reversed(names) if name in models), Policy).model_fields)
