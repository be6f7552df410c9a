"""System prompts, canaries and logged runs in the store."""

from datetime import timedelta

from firebreak.blocks.store import Batch, Store
from firebreak.detectors.leaks.fingerprints import Fingerprint, fingerprint
from tests.stores import START, Clock

PROMPTS = [
    "Answer letters about rented bicycles; deposits above fifty euros are returned by the manager, in a week.",
    "Translate menus into plain English, keep every allergen where it stands, and never translate the names of dishes.",
]


def kept(text: str) -> Fingerprint:
    found = fingerprint(text)
    assert found is not None
    return found


def test_fingerprints_are_facts_of_their_workflow(store: Store) -> None:
    assert store.facts().system_prompts == {}
    assert store.registers.put_system_prompt("bikes", kept(PROMPTS[0]))
    assert not store.registers.put_system_prompt("bikes", kept(PROMPTS[0]))
    assert store.registers.put_system_prompt("menus", kept(PROMPTS[1]))
    assert store.facts().system_prompts == {"bikes": kept(PROMPTS[0]), "menus": kept(PROMPTS[1])}
    store.registers.put_system_prompt("bikes", kept(PROMPTS[1]))
    assert store.facts().system_prompts["bikes"].covers(kept(PROMPTS[1]))


def test_a_workflow_with_ever_new_prompts_keeps_the_newest_only(store: Store, clock: Clock) -> None:
    for number in range(25):
        clock.forward(1)
        shingles = frozenset(range(number * 100, number * 100 + 50))
        assert store.registers.put_system_prompt("w", Fingerprint(least=6, shingles=shingles))
    known = store.facts().system_prompts["w"].shingles
    assert len(known) == 20 * 50
    assert 2449 in known
    assert 0 not in known


def test_a_renewed_canary_is_new_and_the_old_one_is_still_looked_for(store: Store, clock: Clock) -> None:
    first = store.canary("w")
    clock.forward(1)
    second = store.renew_canary("w")
    assert first != second == store.canary("w")
    assert store.facts().canaries["w"] == (first, second)
    assert store.renew_canary("never asked for one") == store.canary("never asked for one")


def test_runs_that_logged_and_runs_that_only_called(store: Store, clock: Clock) -> None:
    store.report(Batch(runs_called={"a": "w", "b": "w"}), "guard")
    clock.forward(60)
    store.report(Batch(runs_logged={"a": ("w", START), "c": ("v", START)}), "scan-logs")
    store.report(Batch(runs_logged={"a": ("w", START + timedelta(seconds=5))}), "scan-logs")
    assert store.watch.logged(["a", "b", "c", "d"]) == {"a", "c"}
    assert [one.flow_run_id for one in store.watch.unlogged(clock.now)] == ["b"]
    assert store.watch.unlogged(START) == []
    assert store.watch.names_runs("v")
    assert not store.watch.names_runs("x")


def test_a_log_is_read_as_far_as_the_slowest_scan(store: Store, clock: Clock) -> None:
    assert store.watch.read_until() is None
    store.watch.at_end("slow")
    clock.forward(60)
    store.watch.at_end("quick")
    assert store.watch.read_until() == START
    store.watch.at_end("slow")
    assert store.watch.read_until() == clock.now
    clock.forward(2 * 86_400)
    assert store.watch.read_until() is None
    store.watch.at_end("quick")
    assert store.watch.read_until() == clock.now


def test_old_runs_are_forgotten(store: Store, clock: Clock) -> None:
    store.report(Batch(runs_logged={"a": ("w", START)}), "scan-logs")
    clock.forward(4 * 86_400)
    store.watch.read_until()
    assert store.watch.logged(["a"]) == set()
