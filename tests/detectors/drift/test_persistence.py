import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.drift.persistence import confirmed
from firebreak.detectors.drift.spec import Persistence

RULE = Persistence(k=2, of=3, recover=2)


def history(windows: str) -> list[dict[str, bool]]:
    """``D`` drifted, ``.`` clear, ``?`` no verdict on the column."""
    return [{} if window == "?" else {"x": window == "D"} for window in windows]


@pytest.mark.parametrize(
    ("windows", "stands"),
    [
        ("D", False),
        ("DD", True),
        ("D.D", True),
        ("D..D", False),
        ("DD.", True),
        ("DD..", False),
        ("DD.D..", False),
        ("DD..D", False),  # what came before the recovery doesn't count again
        ("DD..DD", True),
        ("D?D", True),
        ("DD.?", True),
        ("....", False),
    ],
)
def test_drift_is_confirmed_when_it_stays_and_ends_when_it_stays_away(windows: str, stands: bool) -> None:
    assert confirmed(history(windows), RULE) == {"x": stands}


def test_columns_are_judged_apart_and_one_never_seen_is_not_named() -> None:
    assert confirmed([], RULE) == {}
    assert confirmed([{}, {}], RULE) == {}
    assert confirmed([{"x": True, "y": False}, {"x": True, "y": True}], RULE) == {"x": True, "y": False}


@st.composite
def rules(draw: st.DrawFn) -> Persistence:
    of = draw(st.integers(1, 5))
    return Persistence(k=draw(st.integers(1, of)), of=of, recover=draw(st.integers(1, 4)))


@given(windows=st.text("D.", max_size=30), rule=rules())
def test_it_never_stands_without_enough_drift_nor_after_enough_quiet(windows: str, rule: Persistence) -> None:
    stands = confirmed(history(windows), rule).get("x", False)
    if stands:
        assert windows.count("D") >= rule.k
        assert not windows.endswith("." * rule.recover)
    assert confirmed([*history(windows), *history("D" * rule.k)], rule)["x"]
    assert not confirmed([*history(windows), *history("." * (rule.recover + rule.of))], rule)["x"]
