"""200 incidents at once on a real server and worker: few runs, and the critical one, which came last, hardly waits."""

import pytest

from firebreak.deployments.system import System
from tests.flows.drills.storm import storm

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(420)]


def test_a_storm_takes_few_runs_and_a_critical_one_does_not_wait(system: System) -> None:
    made = storm(system, incidents=200, seconds=0, patience=240, to_the_end=False)
    print(made)
    assert made.lost == 0
    assert sum(made.runs.values()) <= 10
    assert made.critical < 15
    assert made.halted == 1  # far more quarantines than the breaker lets pass
