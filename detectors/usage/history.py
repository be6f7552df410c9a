"""What is remembered of a token between scans: when it was used, how often, and from which networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_ORIGINS = 64  # a token seen from more networks than that is used from anywhere: no network is new to it


@dataclass(slots=True)
class TokenUse:
    """One token's use so far. Times are microseconds since 1970; ``origins`` holds when each network was last seen."""

    first_us: int
    last_us: int
    calls: int = 0
    origins: dict[str, int] = field(default_factory=dict)

    def add(self, other: "TokenUse") -> None:
        """Take in later, earlier or other use; the networks seen last are kept."""
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)
        self.calls += other.calls
        for origin, at in other.origins.items():
            self.origins[origin] = max(at, self.origins.get(origin, at))
        if len(self.origins) > MOST_ORIGINS:
            newest = sorted(self.origins, key=lambda origin: (-self.origins[origin], origin))
            self.origins = {origin: self.origins[origin] for origin in newest[:MOST_ORIGINS]}


def absorb(history: dict[str, TokenUse], uses: Mapping[str, TokenUse]) -> None:
    """Add a pass's use of each token to what is remembered of it."""
    for token_id, use in uses.items():
        known = history.get(token_id)
        if known is None:
            known = history[token_id] = TokenUse(use.first_us, use.last_us)
        known.add(use)
