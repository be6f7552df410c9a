"""Facts: what a rule may know beside the record (issued canaries, the registry of tokens)."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from firebreak.detectors.allowlist import Allow
from firebreak.detectors.hours import hours
from firebreak.detectors.leaks.fingerprints import Fingerprint
from firebreak.detectors.origins import cidr
from firebreak.detectors.usage.history import TokenUse


class TokenGrant(BaseModel):
    """What one API token may be used for; an empty tuple means any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_id: str
    models: tuple[str, ...] = ()
    model_versions: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = Field(default=(), description="hosts, as api.example.com")
    workflows: tuple[str, ...] = ()
    hours: str | None = Field(default=None, description="as `Mon-Fri 07:00-19:00 Europe/Berlin`; None: at any time")
    origins: tuple[str, ...] = Field(default=(), description="networks it may be used from, as 203.0.113.0/24")
    dormant_days: float = Field(default=30, gt=0, le=3650, description="unused for longer, its next use is an incident")
    revoked: bool = False

    @field_validator("hours")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            hours(value)
        return value

    @field_validator("origins")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            cidr(each)
        return value


class Facts(BaseModel):
    """What is known when a record is judged."""

    model_config = ConfigDict(frozen=True)

    canaries: dict[str, tuple[str, ...]] = {}  # workflow -> canaries issued to its system prompt
    system_prompts: dict[str, Fingerprint] = {}  # workflow -> what is kept of its system prompts
    tokens: dict[str, TokenGrant] | None = None  # None: no registry kept, so token rules stay silent
    thresholds: dict[str, float] = {}  # of a score, by the name of its derived field; absent: the shipped one
    history: dict[str, TokenUse] = {}  # token -> its use so far, as the store remembers it
    used_now: dict[str, TokenUse] = {}  # and as the pass under way has seen it since
    allow: tuple[Allow, ...] = ()  # the allow-list's entries in force now
