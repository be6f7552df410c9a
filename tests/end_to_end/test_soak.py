"""The kills again and again, and many incidents at once; `make soak`."""

from uuid import uuid4

import pytest

from firebreak.blocks.events import signal_opened
from firebreak.blocks.store import Batch, State, Store
from firebreak.deployments.system import System
from firebreak.detectors.findings import Severity
from tests.end_to_end import test_kills
from tests.end_to_end.test_kills import store, target
from tests.stores import finding
from tests.waiting import until

__all__ = ["store", "target"]  # fixtures

pytestmark = [pytest.mark.integration, pytest.mark.soak]


@pytest.mark.parametrize("round", range(10))
def test_killed_after_the_effect(round: int, system: System, store: Store, target: str) -> None:
    test_kills.test_killed_after_the_effect_and_before_the_ledger_write(system, store, target)


@pytest.mark.parametrize("round", range(5))
def test_killed_after_the_answer(round: int, system: System, store: Store, target: str) -> None:
    test_kills.test_killed_after_the_form_was_answered(system, store, target)


@pytest.mark.parametrize("round", range(10))
def test_five_responders_killed(round: int, system: System, store: Store, target: str) -> None:
    test_kills.test_five_responders_killed_each_at_another_moment(system, store, target)


@pytest.mark.parametrize("round", range(10))
def test_five_kills_of_the_server(round: int, system: System, store: Store, target: str) -> None:
    test_kills.test_the_server_killed_five_times_in_a_row(system, store, target)


def test_fifty_incidents_at_once_are_all_answered(system: System, store: Store) -> None:
    """Each of its own user, contained at once, answered by and by."""
    batch = Batch(findings=[finding(uuid4().hex, actor=uuid4().hex, severity=Severity.HIGH) for _ in range(50)])
    report = store.report(batch, "test")
    assert len(report.contained) == 50
    signal_opened(store, report)
    mine = [incident_id for incident_id, _ in report.opened]
    until(
        lambda: all(store.incidents.get(number).state is State.CONTAINED for number in mine),
        1800,
        "fifty incidents answered",
        every=2,
    )
