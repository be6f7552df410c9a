"""Counts of use in the store: added up, committed with the position, judged, forgotten."""

from datetime import timedelta
from typing import Any

import pytest

from firebreak.blocks.store import Batch, JudgedUse, LeaseLost, Store
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import WIDTH, microseconds, moment
from firebreak.detectors.usage.history import MOST_ORIGINS
from tests.stores import START, Clock

NOW = microseconds(START)
BEGAN = moment(NOW // WIDTH * WIDTH)
A_DAY = timedelta(days=1)


def counted(*calls: dict[str, Any]) -> UsageCounter:
    counter = UsageCounter()
    for call in calls:
        counter.add(**{"time_us": NOW, "workflow": "answer-tickets", "token_id": "support-key", **call})
    return counter


def report(store: Store, *calls: dict[str, Any], position: int = 1) -> None:
    store.report(Batch(source="log", position={"offset": position}, usage=counted(*calls)), "scan-logs")


def test_counts_of_two_passes_are_added_up(store: Store) -> None:
    report(store, {"latency_ms": 100.0, "tokens": 10, "cost": 0.1}, {"status": 401, "error": True})
    report(store, {"latency_ms": 100.0, "refused": True}, {"workflow": "write-reports"})
    (window,) = store.usage.windows("workflow", "answer-tickets", START - A_DAY, START + A_DAY)
    assert (window.began_at, window.counts.calls, window.counts.errors) == (BEGAN, 3, 1)
    assert (window.counts.denied, window.counts.refusals, window.counts.cost) == (1, 1, 0.1)
    assert sum(window.counts.latency.values()) == 2
    (token,) = store.usage.windows("token", "support-key", START - A_DAY, START + A_DAY)
    assert token.counts.workflows == {"answer-tickets": 3, "write-reports": 1}


def test_a_pass_that_could_not_commit_is_counted_once(store: Store) -> None:
    with store.lease("scan:log", "one"):
        pass
    lost = Batch(source="log", position={"offset": 9}, usage=counted({}, {}), lease=("scan:log", "one"))
    with pytest.raises(LeaseLost):
        store.report(lost, "scan-logs")
    assert store.position("log") is None
    assert store.usage.windows("workflow", "answer-tickets", START - A_DAY, START + A_DAY) == []
    assert store.usage.uses() == {}
    report(store, {}, {}, position=9)
    (window,) = store.usage.windows("workflow", "answer-tickets", START - A_DAY, START + A_DAY)
    assert (window.counts.calls, store.usage.uses()["support-key"].calls) == (2, 2)
    assert store.position("log") == {"offset": 9}


def test_a_window_waits_for_its_verdict_and_again_after_more_was_counted(store: Store) -> None:
    report(store, {})
    mine = ("workflow", "answer-tickets", BEGAN)
    assert mine in store.usage.unjudged(START - A_DAY, START + A_DAY)
    store.report(Batch(judged_use=[JudgedUse(*mine, ("usage-latency",), ())]), "scan-logs")
    assert mine not in store.usage.unjudged(START - A_DAY, START + A_DAY)
    (window,) = store.usage.windows("workflow", "answer-tickets", START - A_DAY, START + A_DAY)
    assert (window.matched, window.standing) == (("usage-latency",), ())
    report(store, {})
    (window,) = store.usage.windows("workflow", "answer-tickets", START - A_DAY, START + A_DAY)
    assert (window.matched, window.standing) == (None, None)
    assert mine in store.usage.unjudged(START - A_DAY, START + A_DAY)


def test_windows_are_given_oldest_first_and_those_asked_for_only(store: Store) -> None:
    report(store, *[{"time_us": NOW - minutes * 60_000_000} for minutes in (0, 30, 600)])
    windows = store.usage.windows("workflow", "answer-tickets", START - timedelta(hours=1), START + A_DAY)
    assert [window.began_at for window in windows] == [BEGAN - timedelta(minutes=30), BEGAN]


def test_a_wrong_clock_is_not_kept(store: Store) -> None:
    report(store, {"time_us": NOW + 2 * 86_400_000_000}, {"time_us": 0}, {"time_us": 10**17})
    assert store.usage.unjudged(moment(0), START + timedelta(days=9)) == []
    use = store.usage.uses()["support-key"]
    assert (use.first_us, use.last_us, use.calls) == (0, NOW, 3)


def test_a_tokens_history_is_kept(store: Store) -> None:
    report(store, {"source_address": "192.0.2.7"}, {"source_address": "192.0.2.9"})
    report(store, {"time_us": NOW - 86_400_000_000, "source_address": "2001:db8:7::1"})
    use = store.usage.uses()["support-key"]
    assert (use.first_us, use.last_us, use.calls) == (NOW - 86_400_000_000, NOW, 3)
    assert use.origins == {"192.0.2.0/24": NOW, "2001:db8:7::/48": NOW - 86_400_000_000}


def test_the_networks_seen_last_are_kept(store: Store) -> None:
    report(store, *[{"time_us": NOW - n, "source_address": f"10.{n}.0.1"} for n in range(MOST_ORIGINS + 20)])
    origins = store.usage.uses()["support-key"].origins
    assert set(origins) == {f"10.{n}.0.0/24" for n in range(MOST_ORIGINS)}


def test_what_is_old_is_forgotten(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firebreak.blocks.store.usage.KEPT_TOKENS", 1)
    report(store, {"token_id": "old-key", "time_us": NOW - 1000}, {})
    store.usage.forget_old()
    assert set(store.usage.uses()) == {"support-key"}
    assert store.usage.windows("workflow", "answer-tickets", START - A_DAY, START + A_DAY)
    clock.forward(29 * 86_400)
    store.usage.forget_old()
    assert store.usage.windows("workflow", "answer-tickets", START - A_DAY, START + A_DAY) == []


def test_many_windows_in_one_pass(store: Store) -> None:
    for _ in range(2):
        report(store, *[{"time_us": NOW - n * WIDTH, "token_id": f"key-{n % 7}"} for n in range(700)])
    windows = store.usage.windows("workflow", "answer-tickets", START - timedelta(days=9), START + A_DAY)
    assert len(windows) == 700
    assert all(window.counts.calls == 2 for window in windows)
