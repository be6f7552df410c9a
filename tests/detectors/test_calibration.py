"""Fitting a threshold: the budget holds on fresh prompts, and no one sender moves it far."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firebreak.detectors.calibration import (
    CONFIDENCE,
    Scored,
    TooFew,
    alarms,
    fit_threshold,
    needed,
    permitted,
    without_floods,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def prompt(score: float, sender: str = "user ada", minute: float = 0) -> Scored:
    return Scored(score, sender, "answer-tickets", BEGAN + timedelta(minutes=minute), "")


def crowd(rows: int, seed: int, score: Callable[[random.Random], float], senders: int = 40) -> list[Scored]:
    chance = random.Random(seed)
    return [prompt(score(chance), f"user {chance.randrange(senders)}", n) for n in range(rows)]


def skewed(chance: random.Random) -> float:
    return chance.betavariate(1, 12)  # most are low; the tail is where the threshold lies


@pytest.mark.parametrize(("rows", "budget"), [(1500, 0.01), (690, 0.01), (800, 0.05)])
def test_the_budget_holds_on_fresh_prompts_in_95_of_100_draws(rows: int, budget: float) -> None:
    def rate(threshold: float) -> float:
        return float((1 - threshold) ** 12)  # the share of beta(1, 12) above it

    broken = 0
    for seed in range(100):
        found = fit_threshold(crowd(rows, seed, skewed), budget, 0, 1)
        broken += rate(found.threshold) > budget
        assert found.kept
    assert broken <= 5


def test_no_lower_threshold_would_keep_the_budget() -> None:
    found = fit_threshold([prompt(n / 3000, f"user {n % 50}", n * 7919 % 3000) for n in range(3000)], 0.01, 0, 1)
    most = permitted(len(found.fitted), 0.01)
    assert most is not None
    assert alarms(found.fitted, found.threshold).part <= most + 1  # one more: of the sender who is left out
    assert alarms(found.fitted, found.threshold - 0.02).part > most


def test_too_few_prompts_are_refused_with_how_many_are_needed() -> None:
    enough = needed(0.01)
    fit_threshold([prompt(0.1, f"user {n}", n) for n in range(enough)], 0.01, 0, 1)
    with pytest.raises(TooFew, match=f"at least {enough} are needed"):
        fit_threshold([prompt(0.1, f"user {n}", n) for n in range(enough - 1)], 0.01, 0, 1)
    with pytest.raises(TooFew):
        fit_threshold([], 0.01, 0, 1)


@given(rows=st.integers(1, 5000), budget=st.floats(0.0005, 0.2))
def test_what_is_permitted_is_the_exact_binomial_bound(rows: int, budget: float) -> None:
    from scipy.stats import binom

    most = permitted(rows, budget)
    doubt = 1 - CONFIDENCE
    assert most is None or binom.cdf(most, rows, budget) <= doubt
    assert binom.cdf(0 if most is None else most + 1, rows, budget) > doubt


def test_the_newest_prompts_are_only_reported_on() -> None:
    old, new = crowd(1000, 1, skewed), [prompt(0.99, f"user {n}", 5000 + n) for n in range(500)]
    found = fit_threshold([*new, *old], 0.01, 0, 1)
    assert found.threshold < 0.9
    assert alarms(found.held, found.threshold).rate == 1
    assert max(p.time for p in found.fitted) < min(p.time for p in found.held)
    assert (len(found.fitted), len(found.held)) == (1000, 500)


@pytest.mark.parametrize("flood", [20, 400, 5000])
@pytest.mark.parametrize("score", [0.0, 0.95])
def test_one_sender_who_floods_hardly_moves_the_threshold(flood: int, score: float) -> None:
    others = crowd(2000, 7, skewed)
    alone = fit_threshold(others, 0.01, 0, 1).threshold
    mallory = [prompt(score, "user mallory", n * 2000 / flood) for n in range(flood)]
    found = fit_threshold([*others, *mallory], 0.01, 0, 1)
    assert found.threshold <= alone + 0.02  # never up by attack-like text
    assert alarms(others, found.threshold).rate <= 0.02  # type: ignore[operator]  # nor far down by harmless text


@given(st.one_of(st.floats(0, 1), st.integers(0, 1000).map(lambda n: n / 1000)))
def test_the_threshold_lies_just_above_the_score_that_must_not_reach_it(score: float) -> None:
    found = fit_threshold([prompt(score, f"user {n}", n) for n in range(90)], 0.1, 0, 1)
    assert score < found.wanted <= score + 0.0011
    assert round(found.wanted, 3) == found.wanted


def test_without_enough_others_the_ceiling_holds() -> None:
    found = fit_threshold([prompt(0.99, "user mallory", n) for n in range(900)], 0.01, 0.2, 0.8)
    assert (found.threshold, found.kept) == (0.8, False)
    assert fit_threshold([prompt(0.0, "user ada", n) for n in range(900)], 0.01, 0.2, 0.8).threshold == 0.2


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=0, max_size=200), st.integers(1, 100))
def test_no_sender_counts_more_than_all_others_where_these_are_enough(
    sent: list[tuple[float, int]], enough: int
) -> None:
    prompts = [prompt(score, f"user {sender}", n) for n, (score, sender) in enumerate(sent)]
    counted = without_floods(prompts, enough)
    assert set(counted) <= set(prompts)
    for sender in {p.sender for p in prompts}:
        own, all_own = (sum(p.sender == sender for p in some) for some in (counted, prompts))
        others = len(prompts) - all_own
        assert own == (all_own if others < enough else min(all_own, others))


def test_a_share_of_nothing_has_no_rate() -> None:
    assert (alarms([], 0.5).rate, alarms([], 0.5).interval) == (None, None)
