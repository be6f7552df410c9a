"""Whom to tell, as the policy says: for which severities, in which hours, how often until somebody acknowledges."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, field_validator

from firebreak.blocks.store import Store
from firebreak.detectors.findings import Severity
from firebreak.detectors.hours import hours
from firebreak.detectors.yaml_text import read_yaml

BLOCK = r"^[a-z0-9-]+/[a-z0-9-]+$"  # a block document as type/name


class Recipient(BaseModel):
    """Somebody who is told through a Prefect notification block."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9-]{1,60}$")
    block: str = Field(pattern=BLOCK, description="a Prefect notification block as type/name")
    severities: tuple[Severity, ...] = Field(default=(), description="an empty list: all")
    hours: str | None = Field(
        default=None, description="`Mon-Fri 08:00-18:00 Europe/Berlin`; what comes outside waits. Absent: always"
    )
    critical_anytime: bool = Field(default=True, description="a critical incident is told outside the hours too")
    repeat_minutes: float | None = Field(
        default=None, ge=1, description="a critical one again and again, until acknowledged; absent: told once"
    )
    repeat_most: int = Field(default=10, ge=1, description="repeats of one message at most")

    @field_validator("hours")
    @classmethod
    def _readable(cls, text: str | None) -> str | None:
        if text is not None:
            hours(text)
        return text

    def wants(self, severity: Severity) -> bool:
        return not self.severities or severity in self.severities

    def may_hear(self, severity: Severity, now: datetime) -> bool:
        """Whether a message may go out now."""
        anytime = self.hours is None or (severity is Severity.CRITICAL and self.critical_anytime)
        return anytime or hours(self.hours or "").hold(now)


def recipients_in_force(store: Store) -> dict[str, Recipient]:
    """The recipients of the policy in the store, by name. Errors: ValidationError (its section can't be used)."""
    found = (read_yaml(store.registers.policy() or "") or {}).get("recipients") or []
    return {one.name: one for one in map(Recipient.model_validate, found)}
