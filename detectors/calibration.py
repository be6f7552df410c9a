"""A score's threshold, fitted to a false-alarm budget on prompts known to be harmless.

The fit is a distribution-free tolerance limit (Wilks): the threshold lies above the (k+1)-th highest score, where k
is the most false alarms that the exact binomial (Clopper-Pearson) bound allows. Wilson's bound would promise too much
for the small rates a budget is about. No one sender may move it far:

- a sender's prompts count at most as often as everybody else's together;
- the threshold is the lowest one that the budget allows with any one sender left out;
- it lies between a floor and a ceiling that no traffic can move.

Where the others alone are too few to promise the budget, one sender can't be left out, and only the bounds hold.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from scipy.stats import binom

from firebreak.detectors.drift.performance import Interval, wilson

CONFIDENCE = 0.99  # of the bound; choosing the lowest over all senders costs some of it, and 0.95 is what is promised
STEP = 0.001  # thresholds have three decimals


class TooFew(ValueError):
    """Too few harmless prompts to promise the budget; the message says how many are needed."""


@dataclass(frozen=True)
class Scored:
    """One prompt with its score. ``text`` is an excerpt; ``sender`` the user, else the token, else the workflow."""

    score: float
    sender: str
    workflow: str
    time: datetime
    text: str


@dataclass(frozen=True)
class Share:
    """``part`` of ``whole``, with its 95 % interval (Wilson); None where there is nothing to divide by."""

    part: int
    whole: int

    @property
    def rate(self) -> float | None:
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> Interval | None:
        return wilson(self.part, self.whole) if self.whole else None


@dataclass(frozen=True)
class Calibration:
    """What was fitted on ``fitted``, to be judged on ``held``. ``wanted`` is the threshold that the budget asks for."""

    budget: float
    wanted: float
    floor: float
    ceiling: float
    fitted: tuple[Scored, ...]
    held: tuple[Scored, ...]

    @property
    def threshold(self) -> float:
        return min(max(self.wanted, self.floor), self.ceiling)

    @property
    def kept(self) -> bool:
        """Whether the budget holds at the threshold, which may not rise above the ceiling."""
        return self.wanted <= self.ceiling


def alarms(prompts: Iterable[Scored], threshold: float) -> Share:
    """How many of the prompts reach the threshold."""
    reached = [prompt.score >= threshold for prompt in prompts]
    return Share(sum(reached), len(reached))


def permitted(rows: int, budget: float) -> int | None:
    """The most alarms among ``rows`` that still show a rate of at most ``budget``; None when not even 0 does."""
    doubt = 1 - CONFIDENCE
    most = int(binom.ppf(doubt, rows, budget))
    if binom.cdf(most, rows, budget) > doubt:
        most -= 1
    return most if most >= 0 else None


def needed(budget: float) -> int:
    """The fewest prompts, fitted and held ones together, that may show a rate of at most ``budget``."""
    return math.ceil(_enough(budget) * 3 / 2)


def _enough(budget: float) -> int:
    """Of the fitted ones alone: without a single alarm among them."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-budget))


def fit_threshold(prompts: Sequence[Scored], budget: float, floor: float, ceiling: float) -> Calibration:
    """The lowest threshold between floor and ceiling that keeps the budget, fitted on the older two thirds.

    Errors: TooFew.
    """
    counted = sorted(without_floods(prompts, _enough(budget)), key=lambda prompt: prompt.time)
    cut = 2 * len(counted) // 3
    fitted, held = counted[:cut], counted[cut:]
    wanted = _lowest(fitted, budget)
    if wanted is None:
        raise TooFew(
            f"{len(counted)} harmless prompts can't show a false-positive rate of at most {budget:.2%}: "
            f"at least {needed(budget)} are needed. Take a longer time, or a larger budget"
        )
    return Calibration(budget, wanted, floor, ceiling, tuple(fitted), tuple(held))


def without_floods(prompts: Sequence[Scored], enough: int) -> list[Scored]:
    """The prompts, of no sender more than of all others together, unless the others are fewer than ``enough``.

    Of a sender who has more, those spread evenly over time stay.
    """
    by_sender: dict[str, list[Scored]] = {}
    for prompt in sorted(prompts, key=lambda prompt: prompt.time):
        by_sender.setdefault(prompt.sender, []).append(prompt)
    counted = []
    for own in by_sender.values():
        others = len(prompts) - len(own)
        most = others if others >= enough else len(own)
        counted += own if len(own) <= most else [own[n * len(own) // most] for n in range(most)]
    return counted


def _lowest(prompts: Sequence[Scored], budget: float) -> float | None:
    """The lowest threshold that keeps the budget whichever one sender is left out; None: too few prompts."""
    ranked = sorted(prompts, key=lambda prompt: -prompt.score)
    most = permitted(len(ranked), budget)
    if most is None:
        return None
    limits = [ranked[most].score]
    sent = Counter(prompt.sender for prompt in ranked)
    for sender in {prompt.sender for prompt in ranked[: most + 1]}:  # without any other one the limit isn't lower
        fewer = permitted(len(ranked) - sent[sender], budget)
        if fewer is not None:
            others = (prompt.score for prompt in ranked if prompt.sender != sender)
            limits.append(next(score for rank, score in enumerate(others) if rank == fewer))
    return _above(min(limits))


def _above(score: float) -> float:
    """The next threshold that the score doesn't reach."""
    steps = math.ceil(score / STEP)
    rounded = round(steps * STEP, 3)
    return rounded if rounded > score else round((steps + 1) * STEP, 3)
