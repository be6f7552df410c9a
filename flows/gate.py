"""The gate: whether a candidate may be put forward for promotion, from both models' answers on the same rows.

It passes only a candidate that is better on recent rows beyond chance, and not much worse on what the champion
knew. Deterministic; an equal or worse candidate never passes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from firebreak.blocks.retraining_rules import GateRules
from firebreak.detectors.drift.performance import performance


@dataclass(frozen=True)
class PairedScores:
    """What is true, and what each model said, row by row."""

    labels: Sequence[str]
    champion: Sequence[str]
    candidate: Sequence[str]

    def __post_init__(self) -> None:
        sizes = len(self.labels), len(self.champion), len(self.candidate)
        if len({*sizes}) != 1:
            raise ValueError(f"labels, champion and candidate must be of one length, found {sizes}")


@dataclass(frozen=True)
class GateVerdict:
    """``reasons`` say why, whichever way it went; ``numbers`` are JSON-able."""

    passed: bool
    reasons: tuple[str, ...]
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gain:
    """The candidate's accuracy minus the champion's, on the same rows, with its interval."""

    rows: int
    gain: float
    low: float
    high: float
    only_candidate: int  # rows that only the candidate got right
    only_champion: int
    p_value: float  # exact, one-sided: so many or more by chance, were they equally good


def judge_candidate(rules: GateRules, recent: PairedScores, reference: PairedScores | None) -> GateVerdict:
    """All rules, none hiding another. ``reference`` None or empty: nothing of it is labelled."""
    good: list[str] = []
    bad: list[str] = []
    numbers: dict[str, Any] = {}
    if len(recent.labels) == 0:
        return GateVerdict(False, ("no recent row to compare on",), {})
    gained = gain_of(recent, rules.confidence)
    chance = (1 - rules.confidence) / 2
    said = (
        f"recent rows ({gained.rows}): {gained.gain:+.1%}, at least {gained.low:+.1%} at {rules.confidence:.0%} "
        f"confidence; right alone: candidate {gained.only_candidate}, champion {gained.only_champion}"
    )
    better = gained.low > rules.minimum_gain and gained.p_value <= chance
    (good if better else bad).append(said + ("" if better else f"; needed: more than {rules.minimum_gain:+.1%}"))
    numbers["recent"] = _numbers(recent, gained)
    if reference is not None and len(reference.labels):
        kept = gain_of(reference, rules.confidence)
        fine = -kept.gain <= rules.most_loss_on_reference
        said = f"reference rows ({kept.rows}): {kept.gain:+.1%}, allowed {-rules.most_loss_on_reference:+.1%}"
        (good if fine else bad).append(said)
        numbers["reference"] = _numbers(reference, kept)
    else:
        (bad if rules.needs_reference else good).append("no labelled row of the reference to compare on")
    for name, test in numbers.items():
        for label, one in test["classes"].items():
            lost = one["champion"] - one["candidate"]
            if one["rows"] >= rules.minimum_class_rows and lost > rules.most_loss_per_class:
                bad.append(
                    f"class {label!r} on {name} rows ({one['rows']}): recall {one['champion']:.1%} to "
                    f"{one['candidate']:.1%}, allowed {-rules.most_loss_per_class:+.1%}"
                )
    return GateVerdict(not bad, tuple(bad or good), numbers)


def gain_of(scores: PairedScores, confidence: float) -> Gain:
    """Bonett and Price's interval for a difference of paired shares (2012), and McNemar's exact test."""
    rows, ahead, behind = len(scores.labels), 0, 0
    for label, champion, candidate in zip(scores.labels, scores.champion, scores.candidate, strict=True):
        ahead += candidate == label != champion
        behind += champion == label != candidate
    up, down = (ahead + 1) / (rows + 2), (behind + 1) / (rows + 2)
    spread = math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    return Gain(
        rows=rows,
        gain=(ahead - behind) / rows,
        low=max(-1.0, up - down - reach),
        high=min(1.0, up - down + reach),
        only_candidate=ahead,
        only_champion=behind,
        p_value=_at_least(ahead, ahead + behind),
    )


def _at_least(heads: int, tosses: int) -> float:
    """The chance of so many heads or more from a fair coin."""
    from scipy.stats import binom

    return float(binom.sf(heads - 1, tosses, 0.5))


def _numbers(scores: PairedScores, gain: Gain) -> dict[str, Any]:
    champion = performance(scores.labels, scores.champion)
    candidate = performance(scores.labels, scores.candidate)
    assert champion is not None and candidate is not None, "every row has a label"  # noqa: PT018
    classes = {
        label: {
            "rows": one.rows,
            "champion": one.recall,
            "candidate": two.recall,
            "champion_interval": list(one.interval),
            "candidate_interval": list(two.interval),
        }
        for label, one in champion.classes.items()
        if (two := candidate.classes.get(label)) and one.interval and two.interval
    }
    return {
        "rows": gain.rows,
        "champion": {"accuracy": champion.accuracy, "interval": list(champion.interval)},
        "candidate": {"accuracy": candidate.accuracy, "interval": list(candidate.interval)},
        "gain": gain.gain,
        "gain_interval": [gain.low, gain.high],
        "only_candidate": gain.only_candidate,
        "only_champion": gain.only_champion,
        "p_value": gain.p_value,
        "classes": classes,
    }
