"""The gate: what passes is better beyond chance, and nothing else passes."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.blocks.retraining_rules import GateRules
from firebreak.flows.gate import PairedScores, gain_of, judge_candidate

LABELS = st.sampled_from(["access", "billing", "bug", "how-to"])
RULES = st.builds(
    GateRules,
    minimum_gain=st.floats(0, 0.99),
    confidence=st.floats(0.5, 0.999),
    most_loss_on_reference=st.floats(0, 1),
    most_loss_per_class=st.floats(0, 1),
    minimum_class_rows=st.integers(1, 50),
)


@st.composite
def scores(draw: st.DrawFn, smallest: int = 0) -> PairedScores:
    rows = draw(st.lists(st.tuples(LABELS, LABELS, LABELS), min_size=smallest, max_size=80))
    return paired(rows)


def paired(rows: Sequence[tuple[str, str, str]]) -> PairedScores:
    return PairedScores([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def times(right: int, ahead: int, behind: int, wrong: int = 0, label: str = "bug") -> PairedScores:
    """Rows both get right, only the candidate, only the champion, neither."""
    kinds = [(label, label)] * right + [("billing", label)] * ahead + [(label, "billing")] * behind
    return paired([(label, *pair) for pair in [*kinds, *[("billing", "billing")] * wrong]])


@given(RULES, scores(), st.none() | scores())
def test_an_equal_or_worse_candidate_never_passes(
    rules: GateRules, recent: PairedScores, reference: PairedScores | None
) -> None:
    answers = zip(recent.labels, recent.champion, recent.candidate, strict=True)
    worse = [champion if candidate == label else candidate for label, champion, candidate in answers]
    for candidate in (recent.champion, worse):
        verdict = judge_candidate(rules, PairedScores(recent.labels, recent.champion, candidate), reference)
        assert not verdict.passed
        assert verdict.reasons


@given(RULES, scores(), st.none() | scores())
def test_the_same_answers_get_the_same_verdict_and_it_says_why(
    rules: GateRules, recent: PairedScores, reference: PairedScores | None
) -> None:
    verdict = judge_candidate(rules, recent, reference)
    assert verdict == judge_candidate(rules, recent, reference)
    assert verdict.reasons
    if verdict.passed:
        assert verdict.numbers["recent"]["gain_interval"][0] > rules.minimum_gain


@given(scores(smallest=1), st.floats(0.5, 0.999))
def test_the_interval_holds_the_shrunken_gain_and_turns_over_with_the_models(one: PairedScores, at: float) -> None:
    gain = gain_of(one, at)
    turned = gain_of(PairedScores(one.labels, one.candidate, one.champion), at)
    assert -1 <= gain.low <= gain.high <= 1
    assert (gain.low, gain.high) == pytest.approx((-turned.high, -turned.low))
    assert gain.gain == pytest.approx(-turned.gain)


def test_a_clear_gain_without_a_loss_passes() -> None:
    verdict = judge_candidate(GateRules(), times(60, 40, 2), times(98, 1, 1))
    assert verdict.passed
    assert verdict.reasons[0].startswith("recent rows (102): +37.3%, at least +26.")
    assert (verdict.numbers["recent"]["only_candidate"], verdict.numbers["recent"]["only_champion"]) == (40, 2)


@pytest.mark.parametrize(
    ("rules", "recent", "reference", "why"),
    [
        ({}, times(0, 0, 0), None, "no recent row to compare on"),
        ({}, times(10, 3, 0), None, "right alone: candidate 3, champion 0; needed: more than +0.0%"),
        ({}, times(60, 30, 20), None, "recent rows (110): +9.1%, at least -3.6"),
        ({"minimum_gain": 0.3}, times(60, 40, 2), None, "needed: more than +30.0%"),
        ({}, times(60, 40, 2), times(80, 2, 18), "reference rows (100): -16.0%, allowed -5.0%"),
        ({"needs_reference": True}, times(60, 40, 2), None, "no labelled row of the reference"),
        ({"needs_reference": True}, times(60, 40, 2), times(0, 0, 0), "no labelled row of the reference"),
    ],
)
def test_what_falls_short_is_refused_with_the_numbers(
    rules: dict[str, float], recent: PairedScores, reference: PairedScores | None, why: str
) -> None:
    verdict = judge_candidate(GateRules.model_validate(rules), recent, reference)
    assert not verdict.passed
    assert why in " | ".join(verdict.reasons)


def test_a_class_that_pays_for_the_others_refuses_the_candidate_where_it_has_enough_rows() -> None:
    gained = [("bug", "billing", "bug")] * 60 + [("billing", "billing", "billing")] * 60
    lost = [("access", "access", "bug")] * 12
    verdict = judge_candidate(GateRules(), paired(gained + lost), None)
    assert verdict.reasons == ("class 'access' on recent rows (12): recall 100.0% to 0.0%, allowed -15.0%",)
    assert judge_candidate(GateRules(minimum_class_rows=13), paired(gained + lost), None).passed
    kept = judge_candidate(GateRules(most_loss_on_reference=0.5), paired(gained), paired(gained[:60] + lost))
    assert kept.reasons == ("class 'access' on reference rows (12): recall 100.0% to 0.0%, allowed -15.0%",)


def test_scores_of_different_lengths_are_no_comparison() -> None:
    with pytest.raises(ValueError, match=r"must be of one length, found \(1, 1, 2\)"):
        PairedScores(["a"], ["a"], ["a", "b"])
