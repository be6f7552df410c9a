"""SIGKILL while a plan is carried out: at every boundary, at random moments, again and again; then somebody finishes.

After each, the ledger and the incident are held against what the targets counted.
"""

import random
import statistics
from dataclasses import dataclass, field
from itertools import count

from firebreak.blocks.store import Store
from tests.flows.drills.drive import LEASE_OVER, Drill, planned, run, untruths
from tests.flows.drills.targets import Addresses, wait_until_idle


@dataclass
class Kills:
    """How many processes were killed, and what was wrong afterwards, in words."""

    killed: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Range:
    """Where a drill is held: one store, one set of targets."""

    url: str
    addresses: Addresses

    def at_every_boundary(self, drill: Drill) -> Kills:
        """One incident for each boundary: killed there, then finished."""
        first, made = self._planned(drill), Kills()
        boundaries = run(self.url, first, self.addresses).boundaries
        assert boundaries is not None
        made.wrong += self._untruths(first, drill, "not killed")
        for at in range(1, boundaries + 1):
            self._kill_once(drill, made, f"boundary {at}", die_at=at)
        return made

    def at_random_moments(self, drill: Drill, times: int, seed: int) -> Kills:
        """As many kills as wanted, each within the time that the work takes; a process that was done sooner is none."""
        chance, made = random.Random(seed), Kills()
        lasts = statistics.median(run(self.url, self._planned(drill), self.addresses).seconds for _ in range(3))
        while made.killed < times:
            at = chance.uniform(0, lasts)
            self._kill_once(drill, made, f"{at:.4f} s", kill_after=at)
        return made

    def again_and_again(self, drill: Drill) -> Kills:
        """One incident, whose every new process is killed one boundary later than the one before it."""
        number, made = self._planned(drill), Kills()
        for at in count(1):
            if run(self.url, number, self.addresses, (at - 1) * LEASE_OVER, die_at=at).boundaries is not None:
                break
            made.killed += 1
            wait_until_idle(self.addresses)
        made.wrong += self._untruths(number, drill, f"{made.killed} kills")
        return made

    def _kill_once(
        self, drill: Drill, made: Kills, where: str, die_at: int | None = None, kill_after: float | None = None
    ) -> None:
        number = self._planned(drill)
        if run(self.url, number, self.addresses, 0, die_at, kill_after).boundaries is None:
            made.killed += 1
            wait_until_idle(self.addresses)
            assert run(self.url, number, self.addresses, LEASE_OVER).boundaries is not None
        made.wrong += self._untruths(number, drill, where)

    def _planned(self, drill: Drill) -> int:
        return planned(Store(self.url), drill, self.addresses)

    def _untruths(self, number: int, drill: Drill, where: str) -> list[str]:
        return [f"killed at {where}: {wrong}" for wrong in untruths(Store(self.url), number, drill, self.addresses)]
