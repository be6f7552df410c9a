"""Windows of use judged at their close, on a real store."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from firebreak.blocks.store import Batch, Store
from firebreak.blocks.store.database import connect
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.rules import load_rules
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import WIDTH, microseconds
from firebreak.flows.usage import close_windows
from tests.stores import START, Clock

RULES = load_rules()
PER_DAY = 288
NOW = microseconds(START) // WIDTH * WIDTH


def traffic(first: int, last: int, *, failing: int = 0, cost: float = 0.01, calls: int = 25) -> Batch:
    """Calls of the windows from ``first`` to ``last``, counted from now; ``failing`` of them fail."""
    counter = UsageCounter()
    for window in range(first, last):
        for call in range(calls + window % 3):
            counter.add(
                NOW + window * WIDTH + call, "answer-tickets", "support-key", 200, 800.0 + call, 900, cost,
                error=call < failing,
            )  # fmt: skip
    return Batch(usage=counter)


@pytest.fixture(scope="module")
def a_week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's file that has seen eight ordinary days."""
    path = tmp_path_factory.mktemp("usage") / "store.db"
    store = Store(f"sqlite:///{path}", Clock())
    store.report(traffic(-8 * PER_DAY, 0), "scan-logs")
    connect(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture
def known(a_week: Path, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    copy = tmp_path / "store.db"
    copy.write_bytes(a_week.read_bytes())
    yield Store(f"sqlite:///{copy}", clock)
    connect(f"sqlite:///{copy}").dispose()


def later(store: Store, clock: Clock, windows: int) -> int:
    """The time when these windows have closed; how many findings are new then."""
    clock.now = START + timedelta(minutes=5 * windows + 8)
    new = 0
    while store.usage.unjudged(store.now - timedelta(hours=24), store.now - timedelta(minutes=7)):
        new += close_windows(store, RULES, store.now).new
    return new


def test_a_workflow_that_fails_more_often_is_an_incident_once(known: Store, clock: Clock) -> None:
    assert later(known, clock, 0) == 0
    known.report(traffic(0, 6, failing=10), "scan-logs")
    assert later(known, clock, 6) > 0
    (incident,) = known.incidents.in_states()
    assert (incident.kind, incident.severity, incident.actor_type) == (
        "degradation",
        Severity.MEDIUM,
        ActorType.WORKFLOW,
    )
    assert later(known, clock, 6) == 0


def test_a_token_that_spends_much_more_is_an_incident_and_nothing_acts(known: Store, clock: Clock) -> None:
    known.report(traffic(0, 6, calls=150), "scan-logs")
    assert later(known, clock, 6) > 0
    found = {incident.kind: incident for incident in known.incidents.in_states()}
    assert (found["unauthorised-use"].actor_type, found["unauthorised-use"].actor) == (ActorType.TOKEN, "support-key")
    assert known.holds.all() == []


def test_windows_that_are_still_open_are_not_judged(known: Store, clock: Clock) -> None:
    later(known, clock, 0)
    known.report(traffic(0, 1, failing=20), "scan-logs")
    clock.now = START + timedelta(minutes=6)
    assert close_windows(known, RULES, known.now).new == 0
    assert known.usage.unjudged(START - timedelta(minutes=5), START + timedelta(hours=1))


def test_a_window_that_grew_is_judged_again_and_found_once(known: Store, clock: Clock) -> None:
    later(known, clock, 0)
    known.report(traffic(0, 6, failing=10), "scan-logs")
    new = later(known, clock, 6)
    known.report(traffic(5, 6, failing=10), "scan-logs")
    assert later(known, clock, 6) == 0
    (incident,) = known.incidents.in_states()
    assert incident.findings == new


def test_a_pass_goes_on_where_the_last_one_had_to_stop(
    known: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firebreak.flows.usage.MOST_SECONDS", 0.0)
    known.report(traffic(0, 6, failing=10), "scan-logs")
    assert later(known, clock, 6) > 0
    assert known.usage.unjudged(known.now - timedelta(hours=24), known.now - timedelta(minutes=7)) == []
