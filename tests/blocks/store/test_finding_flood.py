"""Findings written by several processes at once: none lost, one incident for each actor."""

from tests.flows.drills.flood import flood


def test_none_is_lost_and_each_actor_has_one_incident(store_url: str) -> None:
    made = flood(store_url, total=1_000, actors=20, writers=4)
    assert (made.stored, made.counted, made.incidents) == (1_000, 1_000, 20)
