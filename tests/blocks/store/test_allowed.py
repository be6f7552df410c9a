"""What the allow-list kept back is counted with the batch it belongs to, on both databases."""

from datetime import timedelta

import pytest

from firebreak.blocks.store import Batch, LeaseLost, Store
from firebreak.detectors.allowlist import Allow
from tests.stores import Clock


def entry(store: Store, days: int) -> Allow:
    until = store.now.date() + timedelta(days=days)
    return Allow(rule="prompt-injection-*", workflow="w", user="ada", reason="a course", until=until)


def test_counts_add_up_by_entry_and_by_who_saw_them(store: Store, clock: Clock) -> None:
    store.report(Batch(allowed={"one": 2, "two": 1}), "guard")
    clock.forward(60)
    store.report(Batch(allowed={"one": 3}), "guard")
    store.report(Batch(allowed={"one": 5}), "scan-logs")
    counts = [(kept.entry, kept.seen_by, kept.count) for kept in store.allowed.kept()]
    assert counts == [("one", "guard", 5), ("one", "scan-logs", 5), ("two", "guard", 1)]
    assert store.allowed.kept()[0].last_at == store.now
    assert store.incidents.in_states() == []


def test_a_batch_that_is_not_written_counts_nothing(store: Store) -> None:
    with pytest.raises(LeaseLost):
        store.report(Batch(allowed={"one": 1}, lease=("scan:x", "me")), "scan-logs")
    assert store.allowed.kept() == []


def test_only_entries_in_force_reach_the_rules_and_all_are_listed(store: Store, clock: Clock) -> None:
    today, over = entry(store, 0), entry(store, -1)
    store.registers.put_policy("text", None, [today, over])
    assert store.facts().allow == (today,)
    assert store.registers.allow() == [today, over]
    clock.forward(24 * 3600)
    assert store.facts().allow == ()
    store.registers.put_policy("another text")
    assert store.registers.allow() == []
