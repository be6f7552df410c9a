import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import MOST_WORKFLOWS, WIDTH, Counts

Call = tuple[int, str, str | None, int | None, float | None, int, float | None, bool, bool]

calls = st.tuples(
    st.integers(0, 3 * WIDTH),
    st.sampled_from([f"w{number}" for number in range(40)]),
    st.sampled_from([None, "key", "other-key"]),
    st.sampled_from([None, 200, 401, 403, 500]),
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-5, 5000),
    st.none() | st.floats(-1, 1e6),
    st.booleans(),
    st.booleans(),
)


def counted(*passes: list[Call]) -> dict[tuple[str, str, int], Counts]:
    """Each pass in a counter of its own, all added up."""
    found: dict[tuple[str, str, int], Counts] = {}
    for one in passes:
        counter = UsageCounter()
        for call in one:
            counter.add(*call)
        for key, counts in counter.windows().items():
            found.setdefault(key, Counts()).add(counts)
    return found


@given(st.lists(calls, max_size=60), st.integers(0, 60), st.integers(0, 60), st.randoms())
def test_counts_add_up_the_same_however_they_are_split_and_ordered(
    made: list[Call], one: int, other: int, shuffled: random.Random
) -> None:
    first, second = sorted((one, other))
    parts = [made[:first], made[first:second], made[second:]]
    whole = counted(made)
    assert counted(*parts) == whole
    shuffled.shuffle(parts)
    assert counted(*parts) == whole


@given(st.lists(calls, max_size=60))
def test_counts_survive_json(made: list[Call]) -> None:
    for counts in counted(made).values():
        assert Counts.from_json(json.loads(json.dumps(counts.as_json()))) == counts


def test_every_column_is_counted_where_it_belongs() -> None:
    found = counted(
        [
            (0, "w", "key", 200, 120.0, 900, 0.25, False, False),
            (1, "w", "key", 401, None, 0, None, True, False),
            (2, "w", None, 200, 80.0, 100, 0.5, False, True),
            (WIDTH, "w", "key", 403, None, 0, None, True, False),
        ]
    )
    window = found["workflow", "w", 0]
    assert (window.calls, window.errors, window.denied, window.refusals) == (3, 1, 1, 1)
    assert (window.tokens, window.priced, window.cost, window.timed) == (1000, 2, 0.75, 2)
    assert found["token", "key", 0].calls == 2
    assert found["token", "key", 0].workflows == {"w": 2}
    assert found["workflow", "w", WIDTH].denied == found["token", "key", WIDTH].denied == 1
    assert counted([(0, "w", None, None, None, 0, None, False, False)])["workflow", "w", 0].cost is None


@given(st.lists(st.floats(1, 1e8), min_size=1, max_size=300), st.floats(0.01, 1))
def test_a_quantile_is_off_by_five_percent_at_most(latencies: list[float], share: float) -> None:
    counter = UsageCounter()
    for latency in latencies:
        counter.add(0, "w", latency_ms=latency)
    exact = sorted(latencies)[math.ceil(share * len(latencies)) - 1]
    assert counter.windows()["workflow", "w", 0].latency_at(share) == pytest.approx(exact, rel=0.05)


def test_a_histogram_stays_small() -> None:
    counter = UsageCounter()
    for step in range(20_000):
        counter.add(0, "w", latency_ms=1.0013**step)
    assert len(counter.windows()["workflow", "w", 0].latency) <= 220


def test_a_tokens_workflows_are_bounded() -> None:
    counter = UsageCounter()
    for number in range(100):
        counter.add(0, f"w{number:03}", "key")
    assert len(counter.windows()["token", "key", 0].workflows) == MOST_WORKFLOWS


def test_too_many_tokens_are_calls_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firebreak.detectors.usage.counter.MOST_CELLS", 10)
    counter = UsageCounter()
    for number in range(100):
        counter.add(0, "w", f"forged-{number}")
    found = counter.windows()
    assert found["workflow", "w", 0].calls == 100
    assert len(found) == 11
    assert len(counter.uses) == 10
