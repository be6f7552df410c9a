"""Windows judged in order: warm-up, change, persistence, recovery, and what isn't learned from."""

from collections.abc import Sequence
from typing import Literal

import pytest

from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import Finding
from firebreak.detectors.rules import load_rules
from firebreak.detectors.usage.baseline import DAY, Window, baseline
from firebreak.detectors.usage.counts import WIDTH, Counts
from firebreak.detectors.usage.judging import judge
from firebreak.detectors.usage.review import STAYS, Reviewed, review
from tests.detectors.usage.traffic import MONDAY, counts, moments, steady

RULES = load_rules()
NOON = MONDAY + 8 * DAY + DAY // 2
PAST = steady(8.5)


def reviewed(
    past: Sequence[Window], after: Sequence[Window], subject: Literal["workflow", "token"] = "workflow"
) -> tuple[list[Reviewed], list[Finding]]:
    known = [Reviewed(at, counts, ()) for at, counts in past]
    new = [Reviewed(at, counts) for at, counts in after]
    return review(subject, "support", [*known, *new], lambda window: RULES.inspect_window(window, Facts()))


def then(windows: int, made: Counts) -> list[Window]:
    return [(at, made) for at in moments(windows * WIDTH / DAY, NOON)]


@pytest.mark.parametrize(
    ("subject", "made", "rule"),
    [
        ("workflow", counts(60, errors=12, refusals=1), "usage-error-rate"),
        ("workflow", counts(60, errors=1, refusals=12), "usage-refusal-rate"),
        ("workflow", counts(60, errors=1, refusals=1, latency_ms=1600), "usage-latency"),
        ("workflow", counts(60, errors=1, refusals=1, cost=0.02), "usage-cost-per-call"),
        ("token", counts(320, errors=5, refusals=5), "usage-token-calls"),
        ("token", counts(62, errors=1, refusals=1, cost=0.06), "usage-token-spend"),
    ],
)
def test_a_change_that_stays_is_found(subject: Literal["workflow", "token"], made: Counts, rule: str) -> None:
    windows, findings = reviewed(PAST, then(8, made), subject)
    assert rule in windows[-1].standing
    found = [finding for finding in findings if finding.rule == rule]
    assert found
    assert len({finding.key for finding in found}) == len(found)
    assert all(finding.evidence for finding in found)
    assert {finding.actor for finding in found} == {"support"}
    assert {finding.rule for finding in findings} <= {rule, "usage-token-spend"}


def test_ordinary_windows_find_nothing() -> None:
    for subject in ("workflow", "token"):
        windows, findings = reviewed(PAST, steady(0.5, start=NOON), subject)
        assert findings == []
        assert all(window.matched == () for window in windows)


def test_one_bad_window_is_chance() -> None:
    good = counts(150, errors=3, refusals=1)
    bad = [(NOON, counts(150, errors=75)), *[(at + WIDTH, good) for at, _ in then(11, good)]]
    windows, findings = reviewed(steady(8.5, calls=150, errors=3), bad)
    assert windows[0].matched == ("usage-error-rate",)
    assert findings == []
    assert all(window.standing == () for window in windows)


def test_nothing_alarms_in_the_warm_up() -> None:
    young = steady(0.9, start=NOON - int(0.9 * DAY))
    for subject in ("workflow", "token"):
        _, findings = reviewed(young, then(12, counts(300, errors=150, latency_ms=9000)), subject)
        assert findings == []


def test_a_tokens_volume_is_known_after_five_days() -> None:
    much = counts(320, errors=5, refusals=5)
    four, six = (steady(days, start=NOON - int(days * DAY)) for days in (3.5, 6.5))
    assert reviewed(four, then(8, much), "token")[1] == []
    assert reviewed(six, then(8, much), "token")[1]


def test_too_few_calls_tell_nothing() -> None:
    few = [window for n, window in enumerate(steady(8.5, calls=1, errors=0)) if n % 12 == 0]
    _, findings = reviewed(few, then(4, counts(4, errors=4)))
    assert findings == []


def test_an_alarm_stands_until_enough_windows_are_clear_and_is_one() -> None:
    bad, good = counts(200, errors=60, refusals=3), counts(200, errors=3, refusals=3)
    past = steady(8.5, calls=200, errors=3)
    pattern = [bad] * 4 + [good] * (STAYS.recover - 1) + [bad] + [good] * (STAYS.recover + 6)
    windows, _ = reviewed(past, list(zip(moments(len(pattern) * WIDTH / DAY, NOON), pattern, strict=False)))
    standing = ["usage-error-rate" in window.standing for window in windows]
    first, last = standing.index(True), len(standing) - 1 - standing[::-1].index(True)
    assert all(standing[first : last + 1])
    assert last > 4 + STAYS.recover
    assert not standing[-1]


def test_trouble_that_stands_is_not_learned_from() -> None:
    bad = counts(60, errors=12, refusals=1)
    for_two_days = [(at, bad) for at in moments(2, NOON)]
    windows, findings = reviewed(PAST, for_two_days)
    assert "usage-error-rate" in windows[-1].standing
    assert findings[-1].detail["error_rate_ratio"] == pytest.approx(findings[0].detail["error_rate_ratio"], rel=0.2)


def test_a_level_that_stays_for_a_week_is_the_new_ordinary() -> None:
    bad = counts(60, errors=12, refusals=1)
    windows, _ = reviewed(PAST, [(at, bad) for at in moments(9, NOON)])
    assert windows[-1].standing == ()


def test_a_verdict_does_not_depend_on_where_the_pass_began() -> None:
    after = then(12, counts(60, errors=12, refusals=1))
    whole, _ = reviewed(PAST, after)
    first, _ = reviewed(PAST, after[:5])
    known = [Reviewed(at, made, ()) for at, made in PAST] + first
    rest = [Reviewed(at, made) for at, made in after[5:]]
    second, _ = review("workflow", "support", [*known, *rest], lambda w: RULES.inspect_window(w, Facts()))
    assert [*first, *second] == whole


def test_a_tokens_window_names_the_workflow_that_used_it_most() -> None:
    made = Counts(calls=30, workflows={"answer-tickets": 20, "write-reports": 10})
    window = judge("token", "support-key", [(NOON, made)], baseline(PAST, NOON))
    assert (window.workflow, window.name) == ("answer-tickets", "support-key")
    assert window.baseline_windows > 100
