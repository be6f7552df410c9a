"""The allow-list: findings that a team has looked at and expects, each with a reason and a last day.

An entry keeps back a rule's findings in one workflow for a user, a token or both. What is kept back is counted. A
rule that is certain by itself (a canary in an answer) is only kept back by an entry that names it in full.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from firebreak.detectors.containment import CERTAIN
from firebreak.detectors.findings import ActorType, Finding
from firebreak.detectors.records import Record

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Allow(BaseModel):
    """One entry. ``user`` and ``token_id``, where both are given, must both be the record's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str = Field(pattern=r"^[a-z][a-z0-9-]*\*?$", description="a rule's name; a * at its end stands for any rest")
    workflow: Text
    user: Text | None = None
    token_id: Text | None = None
    contains: Text | None = Field(default=None, description="only where the prompt or the answer holds these words")
    reason: Text
    until: date = Field(description="the last day (UTC), at most a year ahead")

    @model_validator(mode="after")
    def _of_somebody(self) -> "Allow":
        if self.user is None and self.token_id is None:
            raise ValueError("an entry is for a user, a token_id or both")
        return self

    @property
    def name(self) -> str:
        """The entry in words, as it is counted; a new reason or a later day make no new entry."""
        whose = [f"{what} {name}" for what, name in (("user", self.user), ("token", self.token_id)) if name]
        words = f", containing {self.contains!r}" if self.contains else ""
        return f"{self.rule} in {self.workflow} for {' and '.join(whose)}{words}"

    def covers(self, finding: Finding, record: Record | None) -> bool:
        """Whether this entry keeps the finding back; without a record (a count over many) only its actor is known."""
        if self.workflow != finding.workflow or not self._names(finding):
            return False
        user = record.user if record else finding.actor if finding.actor_type is ActorType.USER else None
        if self.user not in (None, user) or self.token_id not in (None, finding.token_id):
            return False
        texts = (record.prompt, record.response or "") if record else ()
        return self.contains is None or any(self.contains in text for text in texts)

    def _names(self, finding: Finding) -> bool:
        if self.rule.endswith("*") and CERTAIN not in finding.votes:
            return finding.rule.startswith(self.rule[:-1])
        return finding.rule == self.rule


def keep_back(
    findings: Iterable[Finding], allow: Sequence[Allow], record: Record | None = None
) -> tuple[list[Finding], Counter[str]]:
    """The findings that no entry covers, and how many each entry has kept back, by its name."""
    left, kept = [], Counter[str]()
    for finding in findings:
        entry = next((entry for entry in allow if entry.covers(finding, record)), None)
        if entry is None:
            left.append(finding)
        else:
            kept[entry.name] += 1
    return left, kept
