"""What was counted of one workflow's or one token's calls in one window of five minutes; counts add up in any order.

Latencies go into buckets whose bounds grow by a tenth: a quantile is off by at most 5 %, in at most 220 numbers.
Costs are whole billionths, since sums of floats depend on their order.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

SECONDS = 300
WIDTH = SECONDS * 1_000_000  # microseconds
GROWTH = 1.1
NANO = 1_000_000_000
MOST_WORKFLOWS = 16  # remembered per window of a token
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(microseconds: int) -> datetime:
    """A time given in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)


@dataclass
class Counts:
    """Sums over calls. ``denied`` are those answered 401 or 403; ``priced`` those whose cost was given."""

    calls: int = 0
    errors: int = 0
    denied: int = 0
    refusals: int = 0
    tokens: int = 0
    priced: int = 0
    cost_nano: int = 0
    latency: dict[int, int] = field(default_factory=dict)  # bucket -> calls
    workflows: dict[str, int] = field(default_factory=dict)  # of a token: who used it how often

    def add(self, other: "Counts") -> None:
        """Take in what was counted elsewhere: associative and commutative, also where workflows are dropped."""
        self.calls += other.calls
        self.errors += other.errors
        self.denied += other.denied
        self.refusals += other.refusals
        self.tokens += other.tokens
        self.priced += other.priced
        self.cost_nano += other.cost_nano
        for bucket, calls in other.latency.items():
            self.latency[bucket] = self.latency.get(bucket, 0) + calls
        for workflow, calls in other.workflows.items():
            self.workflows[workflow] = self.workflows.get(workflow, 0) + calls
        if len(self.workflows) > MOST_WORKFLOWS:  # the first by name: the same ones whatever the order of adding
            self.workflows = {name: self.workflows[name] for name in sorted(self.workflows)[:MOST_WORKFLOWS]}

    @property
    def timed(self) -> int:
        """Calls whose latency was given."""
        return sum(self.latency.values())

    def latency_at(self, share: float) -> float | None:
        """The latency (ms) that this share of the calls stayed within, to 5 %; None where none was given."""
        wanted = ceil(share * self.timed)
        for bucket in sorted(self.latency):
            wanted -= self.latency[bucket]
            if wanted <= 0:
                return 0.5 if bucket == 0 else GROWTH ** (bucket - 0.5)
        return None

    @property
    def cost(self) -> float | None:
        return self.cost_nano / NANO if self.priced else None

    def as_json(self) -> dict[str, Any]:
        """Only what isn't zero, latencies as pairs."""
        plain = {name: value for name, value in vars(self).items() if value and name != "latency"}
        return {**plain, "latency": sorted(self.latency.items())} if self.latency else plain

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Counts":
        return cls(**{**body, "latency": {bucket: calls for bucket, calls in body.get("latency", ())}})
