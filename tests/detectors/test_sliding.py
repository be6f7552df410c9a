"""Windows of event time: what fills one, whatever the order of arrival, and what is spent."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.sliding import Filled, Settled, Tally

SPAN = 100
times = st.integers(0, 400)
events = st.lists(st.tuples(times, st.integers(0, 12).map(str)), max_size=40)


def filled(tally: Tally, arriving: list[tuple[int, str]]) -> list[Filled]:
    return [found for time, what in arriving if (found := tally.add(time, what))]


def some_window_has(needed: int, all_events: list[tuple[int, str]], of_values: bool) -> bool:
    for began, _ in all_events:
        within = {e for e in all_events if began <= e[0] < began + SPAN}
        if len({what for _, what in within} if of_values else within) >= needed:
            return True
    return False


@given(events, st.integers(1, 6), st.booleans())
def test_in_order_a_window_is_found_exactly_where_there_is_one(
    arriving: list[tuple[int, str]], needed: int, of_values: bool
) -> None:
    arriving = sorted(arriving)
    found = filled(Tally(needed, SPAN, of_values), arriving)
    assert bool(found) is some_window_has(needed, arriving, of_values)
    for window in found:
        assert window.last - window.first < SPAN
        assert len(set(window.counted)) == len(window.counted) or not of_values
        assert len(window.counted) >= needed
    assert all(second.first - first.first >= SPAN for first, second in pairwise(found))


@given(events, st.integers(1, 6), st.booleans(), st.randoms())
def test_what_comes_at_most_a_span_late_is_found_all_the_same(
    arriving: list[tuple[int, str]], needed: int, of_values: bool, order: random.Random
) -> None:
    late = sorted(arriving, key=lambda event: event[0] + order.randrange(SPAN))
    assert bool(filled(Tally(needed, SPAN, of_values), late)) is some_window_has(needed, arriving, of_values)


@given(events, st.integers(1, 6), st.booleans())
def test_what_comes_twice_counts_once(arriving: list[tuple[int, str]], needed: int, of_values: bool) -> None:
    arriving = sorted(arriving)
    tally = Tally(needed, SPAN, of_values)
    found = filled(tally, arriving)
    assert filled(Tally(needed, SPAN, of_values), [e for e in arriving for _ in range(3)]) == found
    assert filled(tally, arriving[-5:]) == []


@given(events, st.integers(1, 6), st.booleans(), st.integers(0, 40))
def test_it_goes_on_from_its_json(arriving: list[tuple[int, str]], needed: int, of_values: bool, cut: int) -> None:
    whole = filled(Tally(needed, SPAN, of_values), arriving)
    first, second = Tally(needed, SPAN, of_values), Tally(needed, SPAN, of_values)
    found = filled(first, arriving[:cut])
    second.load(first.as_json())
    assert found + filled(second, arriving[cut:]) == whole


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 1000).map(str)), max_size=300), st.booleans())
def test_memory_is_bounded_by_the_number_counted_to(arriving: list[tuple[int, str]], of_values: bool) -> None:
    tally = Tally(5, SPAN, of_values)
    for time, what in arriving:
        tally.add(time, what)
        assert len(tally.events) <= 20
        assert len(tally.spent) <= 16


def test_one_find_a_window_then_the_next() -> None:
    tally = Tally(3, SPAN, of_values=False)
    found = filled(tally, [(n * 10, f"r{n}") for n in range(25)])
    assert [(window.first, window.last) for window in found] == [(0, 20), (100, 120), (200, 220)]


def test_a_value_seen_again_and_again_is_kept_in_little_room() -> None:
    tally = Tally(3, SPAN, of_values=True)
    assert filled(tally, [(n, f"a{n % 2}") for n in range(10_000)]) == []
    assert len(tally.events) < 12
    assert [set(window.counted) for window in filled(tally, [(9_999, "b")])] == [{"a0", "a1", "b"}]


def test_a_settled_window_tells_how_few_there_were_and_leaves_out_what_is_late() -> None:
    settled = Settled(SPAN, 3)
    for time, what in ((1000, "a"), (1010, "b"), (900, "too early"), (1010, "b")):
        settled.add(time, what)
    assert settled.over(1099) is None
    assert settled.over(1100) == Filled(1000, 1010, ("a", "b"))
    settled.add(1050, "too late")
    assert settled.over(5000) is None
    settled.add(1100, "c")
    other = Settled(SPAN, 3)
    other.load(settled.as_json())
    assert other.over(1200) == Filled(1100, 1100, ("c",))
