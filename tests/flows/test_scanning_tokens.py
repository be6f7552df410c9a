"""What the scan remembers of tokens and counts of calls, on a real log and a real store."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Batch, Report, Store, StoreUnavailable
from firebreak.detectors.records import Record
from firebreak.detectors.rules import load_rules
from firebreak.flows.scanning import Scanner
from tests.stores import START, Clock

RULES = load_rules()


def record(days: float, **fields: object) -> Record:
    time = START + timedelta(days=days)
    return Record.model_validate(
        {"time": time, "workflow": "answer-tickets", "user": "ada", "token_id": "support-key", **fields}
    )


@pytest.fixture
def log(tmp_path: Path) -> InteractionLog:
    return InteractionLog(path=tmp_path / "interactions.jsonl")


@pytest.fixture
def scanner(store: Store, log: InteractionLog) -> Iterator[Scanner]:
    with store.lease(f"scan:{log.source}", "a run") as lease:
        assert lease
        yield Scanner(store, log, RULES, lease)


def to_the_end(scanner: Scanner) -> int:
    new = 0
    while True:
        step = scanner.step()
        new += step.report.new
        if step.at_end:
            return new


def rules_found(store: Store) -> list[str]:
    found = [store.incidents.sightings(incident.id) for incident in store.incidents.in_states()]
    return sorted(sighting.finding.rule for sightings in found for sighting in sightings)


def test_a_token_that_slept_wakes_once(store: Store, log: InteractionLog, scanner: Scanner, clock: Clock) -> None:
    log.append(record(-100))
    assert to_the_end(scanner) == 0
    log.append(record(-50))
    log.append(record(-49.9))
    assert to_the_end(scanner) == 1
    log.append(record(-49.8))
    assert to_the_end(scanner) == 0
    assert rules_found(store) == ["token-woke"]


def test_a_token_that_slept_within_one_pass_is_seen(store: Store, log: InteractionLog, scanner: Scanner) -> None:
    for days in (-100, -50, -49.9):
        log.append(record(days))
    assert to_the_end(scanner) == 1


def test_a_pass_that_was_not_written_finds_the_same_again(
    store: Store, log: InteractionLog, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(record(-100))
    to_the_end(scanner)
    log.append(record(-50))

    def away(batch: Batch, seen_by: str) -> Report:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "report", away)
        with pytest.raises(StoreUnavailable):
            scanner.step()
    assert to_the_end(scanner) == 1
    assert store.usage.uses()["support-key"].calls == 2


def test_a_network_a_settled_token_was_never_used_from(store: Store, log: InteractionLog, scanner: Scanner) -> None:
    for call in range(120):
        log.append(record(-10 + call / 20, source_address="192.0.2.7"))
    assert to_the_end(scanner) == 0
    for address in ("192.0.2.99", "198.51.100.9", "198.51.100.10"):
        log.append(record(-1, source_address=address))
    assert to_the_end(scanner) == 1
    assert rules_found(store) == ["token-new-origin"]


def test_every_call_is_counted_once_however_often_the_scan_starts(store: Store, log: InteractionLog) -> None:
    for round_ in range(3):
        for call in range(10):
            log.append(record(0, id=f"{round_}-{call}", latency_ms=100.0, status=401 if call == 0 else 200))
        log.append(record(0, error="refused: user ada is quarantined"))
        with store.lease(f"scan:{log.source}", f"run {round_}") as lease:
            assert lease
            to_the_end(Scanner(store, log, RULES, lease))
    (window,) = store.usage.windows("workflow", "answer-tickets", START - timedelta(days=1), START + timedelta(days=1))
    assert (window.counts.calls, window.counts.denied, window.counts.errors) == (30, 3, 3)
