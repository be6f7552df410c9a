"""A scenario with its sabotages, for the tests that play the demo's steps."""

from collections.abc import Callable, Mapping

import pytest

from firebreak.deployments.sabotage import Sabotage
from firebreak.deployments.scenario import Scenario, StepBroken


class Play:
    """What was done is undone by name, and every sabotage is accounted for in ``shown``."""

    def __init__(
        self, scenario: Scenario, steps: Mapping[str, Callable[[Scenario], None]], sabotages: Mapping[str, Sabotage]
    ) -> None:
        self.scenario, self.steps, self.sabotages = scenario, steps, sabotages
        self.shown: set[str] = set()

    def sabotage(self, *names: str) -> None:
        for name in names:
            self.sabotages[name].do(self.scenario)

    def undo(self, *names: str) -> None:
        for name in names:
            self.sabotages[name].undo(self.scenario)

    def works(self, *steps: str) -> None:
        for name in steps:
            began = self.scenario.elapsed
            self.steps[name](self.scenario)
            print(f"{name} works ({self.scenario.elapsed - began:.1f} s)", flush=True)

    def breaks(self, step: str, why: str, patience: float = 180) -> None:
        """The sabotage named like the step breaks it, and for its own reason."""
        began, former = self.scenario.elapsed, self.scenario.patience
        self.scenario.patience = patience
        try:
            with pytest.raises(StepBroken, match=why):
                self.steps[step](self.scenario)
        finally:
            self.scenario.patience = former
        self.shown.add(step)
        print(f"{step} breaks ({self.scenario.elapsed - began:.1f} s)", flush=True)
