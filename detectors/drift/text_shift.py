"""Whether a window's texts are of other words than the reference's."""

import math
from collections import Counter
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from firebreak.detectors.drift.broken_data import DAMAGE, WORD
from firebreak.detectors.drift.signs import ALPHA, WORTH

SEPARABLE = 0.6  # how often words tell the sides apart (0.5: never)
MOST_TEXTS, LONGEST_TEXT = 5_000, 20_000


def shift_of(before: list[str], now: list[str]) -> dict[str, Any] | None:
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
