"""A window of use beside what is ordinary for it: what rules of service ``usage`` are about, and the fields they name.

One workflow's or one token's calls of five minutes. Counts and totals are those of the window. Rates, and what they
are compared by, come from the last hour where five minutes hold too few calls to tell. A ``_change`` (difference of
rates) or ``_ratio`` (times the ordinary) is given only where chance doesn't explain it: it is None while nothing is
known of the ordinary (warm-up), with too few calls, and within the ordinary spread. So a rule states the size that
matters, and nothing about samples.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from firebreak.detectors.findings import digest
from firebreak.detectors.usage.counts import SECONDS


class UsageWindow(BaseModel):
    """Counts of one subject, judged against its own past."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Literal["workflow", "token"]
    name: str = Field(description="the workflow's or the token's")
    workflow: str = Field(description="the workflow itself, or the one that used the token most in this window")
    began_at: AwareDatetime
    seconds: int = SECONDS
    calls: int = 0
    errors: int = Field(default=0, description="calls that failed, for whatever reason but the guard")
    denied_calls: int = Field(default=0, description="answered 401 or 403")
    refusals: int = Field(default=0, description="calls that the model declined, by how its answer begins")
    tokens: int = Field(default=0, description="of prompts and responses")
    cost: float | None = Field(default=None, description="where calls name theirs")
    error_rate: float | None = None
    error_rate_change: float | None = Field(default=None, description="0.05: five more of a hundred calls than usual")
    error_rate_ratio: float | None = None
    refusal_rate: float | None = None
    refusal_rate_change: float | None = None
    refusal_rate_ratio: float | None = None
    latency_p95_ms: float | None = None
    latency_p95_ratio: float | None = None
    cost_per_call: float | None = None
    cost_per_call_ratio: float | None = None
    calls_ratio: float | None = Field(default=None, description="times the ordinary number of calls at this hour")
    spend_ratio: float | None = Field(default=None, description="times the ordinary cost, or tokens")
    baseline_windows: int = Field(default=0, description="windows that say what is ordinary; 0 in the warm-up")

    @property
    def id(self) -> str:
        """The same window is the same thing, whoever judges it."""
        return f"usage:{digest(self.subject, self.name, self.began_at.isoformat())}"


USAGE_FIELDS: Mapping[str, Literal["text", "number"]] = {
    name: "text" if name in ("subject", "name", "workflow") else "number"
    for name in UsageWindow.model_fields
    if name != "began_at"
}
"""The fields a rule of service ``usage`` may name; the type of each."""
