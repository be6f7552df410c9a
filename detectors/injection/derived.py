"""The injection score as fields of a record: the highest over what the user, a document and a tool wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from firebreak.detectors.injection import weights
from firebreak.detectors.injection.score import Score, score_of
from firebreak.detectors.records import Origin

if TYPE_CHECKING:
    from firebreak.detectors.views import View

NAME = "injection_score"  # of the field, and of its threshold in the facts
MOST_PLACES = 3
_SCORED: WeakKeyDictionary[View, dict[Origin, Score]] = WeakKeyDictionary()


def injection_score(view: View) -> float | None:
    """The highest score of what any one origin wrote into the prompt; None without a prompt."""
    return max((score.value for score in _scores(view).values()), default=None)


def injection_suspected(view: View) -> bool:
    """Whether what one origin wrote reaches the threshold: the facts' own, else the shipped one."""
    return any(_suspected(score, view) for score in _scores(view).values())


def suspected_places(view: View) -> list[tuple[int, int]]:
    """What speaks for an attack in what each suspected origin wrote, as spans of the prompt, weightiest first."""
    return [place for origin, score in _scores(view).items() if _suspected(score, view)
            for place in _places(view, origin, score)]  # fmt: skip


def highest_places(view: View) -> list[tuple[int, int]]:
    """What speaks for an attack in what the origin with the highest score wrote."""
    scores = _scores(view)
    highest = max(scores, key=lambda origin: scores[origin].value, default=None)
    return _places(view, highest, scores[highest]) if highest else []


def _places(view: View, origin: Origin, score: Score) -> list[tuple[int, int]]:
    spans = dict.fromkeys(reason.span for reason in score.reasons if reason.contribution > 0)
    shown = list(spans)[:MOST_PLACES]
    return [view.in_prompt(origin, *span) if view.record.parts else span for span in shown]


def _suspected(score: Score, view: View) -> bool:
    threshold = view.facts.thresholds.get(NAME, weights.shipped().threshold)
    return score.value >= threshold and score.value > 0  # 0: no sign at all, whatever the threshold


def _scores(view: View) -> dict[Origin, Score]:
    """The scores by origin, the user's first; computed once for a view."""
    known = _SCORED.get(view)
    if known is None:
        readings = view.readings("prompt")
        known = _SCORED[view] = {
            origin: score_of(of_origin)
            for origin in (Origin.USER, Origin.DOCUMENT, Origin.TOOL)
            if (of_origin := [reading.view for reading in readings if f"prompt.{origin}" in reading.fields])
        }
    return known
