"""Correlations in the store: stored findings counted once, whoever found them, and the scan's counts kept."""

import pytest

from firebreak.blocks.store import Batch, LeaseLost, Store
from firebreak.detectors.correlations import Correlator
from firebreak.detectors.findings import ActorType, Finding
from firebreak.detectors.records import Origin
from tests.detectors.correlating import base_rule, call, correlation, rules_of, run
from tests.stores import Clock, finding

OVER = rules_of(
    base_rule("prompt-injection-override", user="x"),
    correlation("tries", actor="user", rules=["prompt-injection-override"], group_by=["user"], generate=True),
).over_findings
RECORDS = rules_of(base_rule(), correlation())


def report(store: Store, seen_by: str, *findings: Finding) -> list[str]:
    """The records that complete a count in this report."""
    store.report(Batch(findings=list(findings), over_findings=OVER), seen_by)
    incidents = store.incidents.in_states()
    sightings = [sighting.finding for i in incidents for sighting in store.incidents.sightings(i.id)]
    return sorted(found.record_id for found in sightings if found.rule == "tries")


def test_tries_that_guard_and_scan_found_are_counted_together(store: Store) -> None:
    assert report(store, "guard", finding("r1")) == []
    assert report(store, "scan-logs", finding("r1"), finding("r2")) == []
    assert report(store, "guard", finding("r2")) == []
    assert report(store, "guard", finding("r3")) == ["r3"]
    assert report(store, "scan-logs", finding("r3"), finding("r4"), finding("r5")) == ["r3"]


def test_another_user_or_a_document_is_not_counted_with_them(store: Store) -> None:
    others = [finding("r3", actor="eve"), finding("r4", actor_type=ActorType.WORKFLOW, origin=Origin.DOCUMENT)]
    assert report(store, "scan-logs", finding("r1"), finding("r2"), *others) == []


def test_what_is_counted_is_attributed_only_where_every_finding_is(store: Store) -> None:
    unattributed = [finding(f"r{n}").model_copy(update={"attributed": False}) for n in (1, 2)]
    assert report(store, "scan-logs", *unattributed, finding("r3")) == []
    assert report(store, "scan-logs", finding("r4"), finding("r5")) == ["r5"]


def test_the_scans_counts_are_kept_with_its_position(store: Store) -> None:
    first = Correlator(RECORDS.over_records, store.correlations.load(RECORDS.over_records, "a log"), "a log")
    assert run(RECORDS, [call(1, 1), call(2, 2)], first) == []
    store.report(Batch(correlations=first.changed()), "scan-logs")
    second = Correlator(RECORDS.over_records, store.correlations.load(RECORDS.over_records, "a log"), "a log")
    assert [f.record_id for f in run(RECORDS, [call(3, 3)], second)] == ["3"]
    assert store.correlations.load(RECORDS.over_records, "another log") == []
    assert store.correlations.load((), "a log") == []


def test_a_write_that_fails_keeps_no_count(store: Store) -> None:
    correlator = Correlator(RECORDS.over_records, (), "a log")
    run(RECORDS, [call(1, 1)], correlator)

    with pytest.raises(LeaseLost):
        store.report(Batch(correlations=correlator.changed(), lease=("scan", "nobody")), "scan-logs")
    assert store.correlations.load(RECORDS.over_records, "a log") == []


def test_groups_that_were_forgotten_and_old_ones_go(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firebreak.detectors.correlations.MOST_GROUPS", 2)
    correlator = Correlator(RECORDS.over_records, (), "a log")
    for number in range(4):
        run(RECORDS, [call(number, number, token_id=f"key-{number}")], correlator)
        store.report(Batch(correlations=correlator.changed()), "scan-logs")
    kept = store.correlations.load(RECORDS.over_records, "a log")
    assert {row.body["group"][-1] for row in kept} == {"key-2", "key-3"}
    clock.forward(30 * 86_400)
    assert store.correlations.load(RECORDS.over_records, "a log") == []
