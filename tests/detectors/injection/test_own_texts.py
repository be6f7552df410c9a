"""How the score does on texts of our own, very different from what it was trained on."""

import pytest

from tests.detectors.injection.own_texts import flagged, own


def share(name: str, label: str) -> float:
    counts = flagged(name, label).values()
    return sum(part for part, _ in counts) / sum(whole for _, whole in counts)


def test_there_are_enough_of_them() -> None:
    assert sum(len(texts) for name in ("development", "sealed") for texts in own(name, "attacks").values()) >= 60
    assert sum(len(texts) for name in ("development", "sealed") for texts in own(name, "benign").values()) >= 150


def test_attacks_of_development_are_found_and_benign_texts_let_through() -> None:
    assert share("development", "attacks") >= 0.9
    assert share("development", "benign") <= 0.02


def test_what_was_never_tuned_on() -> None:
    """28 of 41 attacks and 2 of 80 benign texts when this was written; no change may make it much worse."""
    assert share("sealed", "attacks") >= 0.6
    assert share("sealed", "benign") <= 0.04


@pytest.mark.parametrize("kind", ["support", "data", "languages"])
def test_everyday_texts_raise_no_alarm(kind: str) -> None:
    for name in ("development", "sealed"):
        assert flagged(name, "benign")[kind][0] == 0
