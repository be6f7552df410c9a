"""Why a window drifted, in this order; each step needs what the others can't explain.

1. data: many rows are faulty, texts are damaged, or columns fell apart under texts that are as before;
2. model: on the same rows the champion is worse than the former version, which is as good as ever; without labels:
   the inputs are as before, and only the new champion's answers aren't;
3. population: the inputs are others, or the truth about them, and the former version is no better;
4. unclear: nothing of weight, or signs that contradict each other.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import binomtest, norm

from firebreak.detectors.drift.broken_data import damaged, faulty, fell_apart
from firebreak.detectors.drift.methods import count_significance, total_variation
from firebreak.detectors.drift.quality import QualityFault
from firebreak.detectors.drift.signs import ALPHA, WORTH, Frame, labels_of, more, outputs
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.detectors.drift.text_shift import shift_of
from firebreak.detectors.drift.verdicts import WindowVerdict

VERSION = "router_version"  # says which version answered a row, where the frame has it
MOST_REASONS = 8


class Cause(StrEnum):
    """Policy maps each to a playbook: roll back, retrain, tell somebody, watch."""

    MODEL = "model"
    POPULATION = "population"
    DATA = "data"
    UNCLEAR = "unclear"


class Versions(BaseModel, frozen=True):
    """What the champion and the version before it predict on the window's rows, in the window's order."""

    champion: str
    former: str | None
    champion_predictions: list[str]
    former_predictions: list[str] | None


class CauseVerdict(BaseModel, frozen=True):
    """The cause, why (short sentences with numbers) and the numbers (JSON-able; no text of any row)."""

    cause: Cause
    reasons: tuple[str, ...]
    evidence: dict[str, Any]


def cause_of(
    spec: DatasetSpec,
    verdict: WindowVerdict,
    faults: Sequence[QualityFault],
    reference: Frame,
    current: Frame,
    versions: Versions | None,
) -> CauseVerdict:
    """The order of rows doesn't matter. Errors: ValueError (a version has not exactly one prediction for each row)."""
    texts = [labels_of(spec.text, frame).fillna("").tolist() for frame in (reference, current)]
    shift, pair = shift_of(*texts), _compare(spec, reference, current, versions)
    broken = [*faulty(spec, faults, current), *damaged(*texts)]
    broken += fell_apart(spec, reference, current) if shift and not shift["shifted"] else ()
    inputs = _inputs(spec, verdict, shift)
    if broken:
        cause, reasons = Cause.DATA, broken
    elif not verdict.enough:
        cause, reasons = Cause.UNCLEAR, [f"{len(current)} rows, {len(reference)} in the reference: too few to say why"]
    elif pair is None:
        reasons = [*inputs, "there is no former version to compare with"]
        cause = Cause.POPULATION if inputs else Cause.UNCLEAR
    else:
        shaken = any(c.drifted and c.direction != "up" and c.column in outputs(spec) for c in verdict.columns)
        cause, reasons = _weighed(pair, inputs, shaken)
    evidence = {"rows": [len(reference), len(current)], "drifted": [*verdict.drifted], "text": shift, "versions": pair}
    return CauseVerdict(cause=cause, reasons=tuple(reasons[:MOST_REASONS]), evidence=evidence)


def _weighed(pair: dict[str, Any], inputs: list[str], shaken: bool) -> tuple[Cause, list[str]]:
    """Model, population or unclear. ``inputs``: signs that they changed; ``shaken``: the recorded answers did."""
    labels, champion, former, excluded = pair["labels"], pair["champion"], pair["former"], pair["excluded"]
    if labels["worse"]:
        said = (
            f"right on {labels['rows']} labelled rows: champion {labels['champion']:.0%}, former {labels['former']:.0%}"
        )
        if labels["former_fell"]:
            excluded = f"the former version fell as well, from {labels['before']:.0%} in the reference"
        return (Cause.UNCLEAR, [said, f"but {excluded}", *inputs]) if excluded else (Cause.MODEL, [said])
    if labels["close"]:
        excluded = excluded or f"on {labels['rows']} labelled rows the champion is not worse than the former version"
    moved = f"answers moved: the champion's in {champion['distance']:.0%} of the rows, the former version's in "
    moved += f"{former['distance']:.0%}; the two disagree on {pair['disagree']:.0%}"
    alone = (shaken or champion["moved"]) and not former["moved"] and pair["disagree"] > 2 * WORTH and not excluded
    if alone and not inputs:
        return Cause.MODEL, [moved, "the inputs are as before, and the former version answers them as before"]
    if alone and champion["distance"] - former["distance"] > 2 * WORTH:
        return Cause.UNCLEAR, [*inputs, f"but hardly the former version's {moved}"]
    if champion["moved"] and former["moved"]:
        inputs = [*inputs, moved]
    elif labels["champion_fell"] and labels["former_fell"]:
        inputs = [*inputs, f"both versions are right less often: {labels['former']:.0%} after {labels['before']:.0%}"]
    if inputs:
        return Cause.POPULATION, [*inputs, excluded or "nothing says that the former version is better"]
    return Cause.UNCLEAR, ["neither inputs nor answers changed enough to say why", *([excluded] if excluded else [])]


def _inputs(spec: DatasetSpec, verdict: WindowVerdict, shift: dict[str, Any] | None) -> list[str]:
    """Signs that the inputs are others: the texts; where there are none, the features; and the true labels."""
    features = [name for name in verdict.drifted if name in spec.features and name not in outputs(spec)]
    signs = [f"inputs drifted: {', '.join(features)}"] if shift is None and features else []
    if shift is not None and shift["shifted"]:
        unseen = f"{shift['unseen']:.1%} of the words unseen ({shift['unseen_before']:.1%} within the reference)"
        signs = [f"other texts: {unseen}; words tell new from old in {shift['separation']:.0%} of pairs"]
    return [*signs, "the true labels have another mix"] if spec.target in verdict.drifted else signs


def _compare(spec: DatasetSpec, reference: Frame, current: Frame, versions: Versions | None) -> dict[str, Any] | None:
    """Champion and former version on the same rows, in numbers; None where there are no two versions."""
    if versions is None or versions.former_predictions is None:
        return None
    given = {"champion": versions.champion_predictions, "former": versions.former_predictions}
    sides = {name: np.array(labels, dtype=object) for name, labels in given.items()}
    if wrong := [f"{name}_predictions: {len(side)}" for name, side in sides.items() if len(side) != len(current)]:
        raise ValueError(f"versions.{wrong[0]} for {len(current)} rows; give one for each")
    before, told = labels_of(spec.prediction, reference), labels_of(spec.target, reference)
    truth = labels_of(spec.target, current)
    right = {name: (side == truth.to_numpy())[truth.notna()] for name, side in sides.items()}
    return {
        "names": [versions.champion, versions.former],
        "disagree": round(float(np.mean(sides["champion"] != sides["former"])), 4) if len(current) else 0.0,
        "labels": _paired(**right, before=(before == told)[before.notna() & told.notna()].to_numpy(bool)),
        "excluded": _excluded(spec, reference, current, versions.champion, sides["champion"]),
        **{name: _mix(before.dropna(), pd.Series(side, dtype=object)) for name, side in sides.items()},
    }


def _paired(champion: Any, former: Any, before: Any) -> dict[str, Any]:
    """Which rows are right: is the champion worse beyond chance (McNemar, exact)? Or surely about as good (95 %)?"""
    lost, won, rows = int((former & ~champion).sum()), int((champion & ~former).sum()), len(champion)
    p_value = float(binomtest(lost, lost + won, alternative="greater").pvalue) if lost + won else 1.0
    gap, error = ((lost - won) / rows, (lost + won + 1) ** 0.5 / rows) if rows else (0.0, 1.0)
    sides = {"champion": champion, "former": former, "before": before}
    return {
        "rows": rows,
        **{name: float(side.mean()) if len(side) else None for name, side in sides.items()},
        "only_former_right": lost,
        "only_champion_right": won,
        "p_value": p_value,
        "worse": p_value < ALPHA and gap >= WORTH,
        "close": gap + float(norm.ppf(0.95)) * error < WORTH,
        "champion_fell": more(~before, ~champion),
        "former_fell": more(~before, ~former),
    }


def _mix(before: pd.Series, now: pd.Series) -> dict[str, Any]:
    """In which share of the rows a mix of labels changed, and whether beyond chance."""
    if before.empty or now.empty:
        return {"distance": 0.0, "p_value": 1.0, "moved": False}
    counts = pd.concat([before.value_counts(), now.value_counts()], axis=1).fillna(0).sort_index().to_numpy(float).T
    distance, p_value = total_variation(counts[0] / len(before), counts[1] / len(now)), count_significance(*counts)
    return {"distance": distance, "p_value": p_value, "moved": bool(p_value < ALPHA and distance >= WORTH)}


def _excluded(spec: DatasetSpec, reference: Frame, current: Frame, version: str, champion: Any) -> str | None:
    """Why the champion can't have brought the change, where that is known."""
    served, by, answers = (
        labels_of(VERSION, reference),
        labels_of(VERSION, current),
        labels_of(spec.prediction, current),
    )
    if (served.dropna() == version).mean() >= 0.5:
        return f"version {version} answered in the reference already"
    mine = answers.notna() & (by.isna() | (by == version))
    same = float((answers == champion)[mine].mean()) if mine.any() else 1.0
    return None if same >= 0.9 else f"only {same:.0%} of the recorded answers are those of version {version}"
