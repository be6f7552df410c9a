"""Labelled texts of our own, and how many of them the score finds."""

from pathlib import Path

import yaml

from firebreak.detectors.injection.score import judge

FOLDER = Path(__file__).parent


def own(name: str, label: str) -> dict[str, list[str]]:
    """The texts of ``own_<name>.yml``, ``attacks`` or ``benign``, by kind."""
    texts: dict[str, dict[str, list[str]]] = yaml.safe_load((FOLDER / f"own_{name}.yml").read_text(encoding="utf-8"))
    return texts[label]


def flagged(name: str, label: str) -> dict[str, tuple[int, int]]:
    """By kind, how many of the texts reach the threshold, and how many there are."""
    threshold = judge.threshold  # type: ignore[attr-defined]
    return {
        kind: (sum(judge(text) >= threshold for text in texts), len(texts)) for kind, texts in own(name, label).items()
    }
