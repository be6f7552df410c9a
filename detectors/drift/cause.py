"""Why a window drifted, in this order; each step needs what the others can't explain.

1. data: many rows are faulty, texts are damaged, or columns fell apart under texts that are as before;
2. model: on the same rows the champion is worse than the former version, which is as good as ever; without labels:
   the inputs are as before, and only the new champion's answers aren't;
3. population: the inputs are others, or the truth about them, and the former version is no better;
4. unclear: nothing of weight, or signs that contradict each other.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from hashlib import blake2b
from itertools import chain, combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import binomtest, mannwhitneyu, norm

from firebreak.detectors.drift.frames import labels, unreadable_in
from firebreak.detectors.drift.methods import count_significance, total_variation
from firebreak.detectors.drift.quality import QualityFault
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.detectors.drift.verdicts import WindowVerdict

VERSION = "router_version"  # says which version answered a row, where the frame has it
OUTPUTS = re.compile("confidence|probability")  # numbers by which a model judges itself
ALPHA, WORTH = 0.01, 0.05  # several questions are asked of one window; share of rows worth a word
SEPARABLE, LARGE_Q = (
    0.6,
    0.5,
)  # how often words tell the sides apart (0.5: never); Cohen's large difference of correlations
MOST_REASONS, MOST_COLUMNS, MOST_TEXTS, LONGEST_TEXT = 8, 30, 5_000, 20_000
DAMAGE = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd\uffff]|[\xc2\xc3\xe2][\x80-\xbf\u20ac]")
WORD = re.compile(r"[^\W\d_]+")
Frame: TypeAlias = pd.DataFrame


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
    texts = [_labels(spec.text, frame).fillna("").tolist() for frame in (reference, current)]
    shift, pair = _shift(*texts), _compare(spec, reference, current, versions)
    broken = [*_faulty(spec, faults, current), *_damaged(*texts)]
    broken += _fell_apart(spec, reference, current) if shift and not shift["shifted"] else ()
    inputs = _inputs(spec, verdict, shift)
    if broken:
        cause, reasons = Cause.DATA, broken
    elif not verdict.enough:
        cause, reasons = Cause.UNCLEAR, [f"{len(current)} rows, {len(reference)} in the reference: too few to say why"]
    elif pair is None:
        reasons = [*inputs, "there is no former version to compare with"]
        cause = Cause.POPULATION if inputs else Cause.UNCLEAR
    else:
        shaken = any(c.drifted and c.direction != "up" and c.column in _outputs(spec) for c in verdict.columns)
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
    features = [name for name in verdict.drifted if name in spec.features and name not in _outputs(spec)]
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
    before, told = _labels(spec.prediction, reference), _labels(spec.target, reference)
    truth = _labels(spec.target, current)
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
        "champion_fell": _more(~before, ~champion),
        "former_fell": _more(~before, ~former),
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
    served, by, answers = _labels(VERSION, reference), _labels(VERSION, current), _labels(spec.prediction, current)
    if (served.dropna() == version).mean() >= 0.5:
        return f"version {version} answered in the reference already"
    mine = answers.notna() & (by.isna() | (by == version))
    same = float((answers == champion)[mine].mean()) if mine.any() else 1.0
    return None if same >= 0.9 else f"only {same:.0%} of the recorded answers are those of version {version}"


def _faulty(spec: DatasetSpec, faults: Sequence[QualityFault], current: Frame) -> Iterator[str]:
    """Faults of many rows. What the model answered (labels, confidence) is its own doing, not the data's."""
    for check, name in [(fault.check, fault.column or "") for fault in faults if fault.check != "new-category"]:
        share: float = check in ("schema", "duplicate") or name not in _outputs(spec)
        if check == "schema" and (cells := unreadable_in(current).get(name)):
            share = cells["count"] / len(current)
        elif check == "duplicate":
            keys = [name] if name else [key for key in spec.columns if key != spec.target and key in current]
            share = current[keys].astype(str).duplicated().mean()
        elif share and check == "missing":
            share = _labels(name, current).isna().mean()
        elif share and check == "range" and (column := spec.columns.get(name)):
            low, high = (np.nan if end is None else end for end in (column.minimum, column.maximum))
            values = _numbers(current, name)
            share = float(np.mean(np.isinf(values) | (values < low) | (values > high)))
        if share >= WORTH:
            yield f"{name or 'rows'}: {check} in {share:.0%} of the rows"


def _damaged(before: list[str], now: list[str]) -> Iterator[str]:
    """Texts that nobody wrote so: blank, of characters that only a wrong decoding leaves, or cut at one length."""
    lengths = Counter(map(len, {text for text in now if text.strip()}))  # one text sent many times is not cut
    near = {length: max(lengths[length - 1], lengths[length + 1]) for length in lengths}
    often = max(near, key=lambda length: (lengths[length] - 2 * near[length], length), default=0)
    spike = lengths[often] >= max(10, 2 * near.get(often, 0))
    marks: dict[str, Callable[[str], bool]] = {
        "blank": lambda text: not text.strip(),
        "of damaged characters": lambda text: DAMAGE.search(text) is not None,
        f"cut at {often} characters": lambda text: spike and len(text) == often,
    }
    for what, hit in marks.items():
        usual, marked = (np.array([hit(text) for text in texts], dtype=np.bool_) for texts in (before, now))
        if _more(usual, marked):
            yield f"{marked.mean():.0%} of the texts are {what}"


def _fell_apart(spec: DatasetSpec, reference: Frame, current: Frame) -> Iterator[str]:
    """Pairs of numbers that went together and no longer do: Spearman's correlations, compared by Fisher's z."""
    names = [n for n in spec.features if spec.columns[n].numerical and n not in _outputs(spec)][:MOST_COLUMNS]
    tables = [pd.DataFrame({name: _numbers(frame, name) for name in names}) for frame in (reference, current)]
    tables = [table.where(np.isfinite(table)) for table in tables]
    before, after = (table.corr(method="spearman", min_periods=30).clip(-0.999, 0.999) for table in tables)
    for one, other in combinations(before, 2):
        was, now = before.loc[one, other], after.loc[one, other]
        rows = [int(table[[one, other]].notna().all(axis=1).sum()) for table in tables]
        if abs(was) >= LARGE_Q and not np.isnan(now):
            q = float(np.arctanh(abs(was)) - np.arctanh(max(0.0, now * np.sign(was))))
            if q >= LARGE_Q and norm.sf(q / sum(1.06 / (n - 3) for n in rows) ** 0.5) < ALPHA:
                yield f"{one} and {other} no longer go together: rank correlation {now:.2f} after {was:.2f}"


def _shift(before: list[str], now: list[str]) -> dict[str, Any] | None:
    """Whether the words are others, seen from one half of the reference (naive Bayes: and of the window).

    None where a half has fewer than 30 sound texts.
    """
    sides = [_halves(texts) for texts in (before, now)]
    if min(len(half) for side in sides for half in side) < 30:
        return None
    unseen, scores = list[list[float]]([[], []]), list[list[float]]([[], []])  # reference, window
    for half in (0, 1):
        old, new = (Counter(chain.from_iterable(side[half])) for side in sides)
        scale = (len(sides[0][half]) + 2) / (len(sides[1][half]) + 2)
        for place, side in enumerate(sides):
            for words in side[1 - half]:
                unseen[place].append(len(words - old.keys()) / len(words))
                scores[place].append(math.fsum(math.log(scale * (new[w] + 1) / (old[w] + 1)) for w in words))
    usual, share = (float(np.mean(side)) for side in unseen)
    fresh, apart = (mannwhitneyu(new, old, alternative="greater", method="asymptotic") for old, new in (unseen, scores))
    separation = float(apart.statistic) / len(scores[0]) / len(scores[1])
    shifted = (share - usual >= WORTH and fresh.pvalue < ALPHA) or (separation >= SEPARABLE and apart.pvalue < ALPHA)
    return {"unseen_before": usual, "unseen": share, "separation": separation, "shifted": bool(shifted)}


def _halves(texts: list[str]) -> tuple[list[frozenset[str]], list[frozenset[str]]]:
    """The words (no numbers) of sound texts, in halves: a text's digest decides, so that no order plays a part."""
    sound = [text[:LONGEST_TEXT] for text in texts if not DAMAGE.search(text)]
    halves: tuple[list[frozenset[str]], list[frozenset[str]]] = ([], [])
    for digest, text in sorted((blake2b(t.encode("utf-8", "replace"), digest_size=8).digest(), t) for t in sound):
        half, words = halves[digest[-1] % 2], frozenset(WORD.findall(text.lower()))
        if words and len(half) < MOST_TEXTS:
            half.append(words)
    return halves


def _more(before: Any, now: Any) -> bool:
    """Whether a mark is on more rows than before, worth a word and beyond chance."""
    if not len(before) or not len(now) or now.mean() - before.mean() < WORTH:
        return False
    return count_significance(*(np.array([side.sum(), (~side).sum()], np.float64) for side in (before, now))) < ALPHA


def _outputs(spec: DatasetSpec) -> set[str]:
    """What the model itself answers: its prediction, and how sure it is."""
    return {name for name in spec.columns if name == spec.prediction or OUTPUTS.search(name)}


def _labels(name: str | None, frame: Frame) -> pd.Series:
    """As text, None where there is none; all None where the frame has no such column, or two."""
    found = frame[name] if name and list(frame.columns).count(name) == 1 else pd.Series(None, frame.index, dtype=object)
    return labels(found).reset_index(drop=True)


def _numbers(frame: Frame, name: str) -> Any:
    """NaN where a cell holds no number, and everywhere where the frame has no such column, or two."""
    return pd.to_numeric(_labels(name, frame), errors="coerce").to_numpy(np.float64)
