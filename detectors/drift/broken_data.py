"""Signs that the data are broken: faults of many rows, damaged texts, columns that fell apart."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import norm

from firebreak.detectors.drift.frames import unreadable_in
from firebreak.detectors.drift.quality import QualityFault
from firebreak.detectors.drift.signs import ALPHA, WORTH, Frame, labels_of, more, numbers_of, outputs
from firebreak.detectors.drift.spec import DatasetSpec

LARGE_Q = 0.5  # Cohen's large difference of correlations
MOST_COLUMNS = 30
DAMAGE = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd\uffff]|[\xc2\xc3\xe2][\x80-\xbf\u20ac]")
WORD = re.compile(r"[^\W\d_]+")


def faulty(spec: DatasetSpec, faults: Sequence[QualityFault], current: Frame) -> Iterator[str]:
    """Faults of many rows. What the model answered (labels, confidence) is its own doing, not the data's."""
    known = (None, spec.id, *spec.columns)  # a new column, which nothing here looks at, explains no drift
    weighed = [fault for fault in faults if fault.check != "new-category" and fault.column in known]
    for check, name in [(fault.check, fault.column or "") for fault in weighed]:
        share: float = check in ("schema", "duplicate") or name not in outputs(spec)
        if check == "schema" and (cells := unreadable_in(current).get(name)):
            share = cells["count"] / len(current)
        elif check == "duplicate":
            keys = [name] if name else [key for key in spec.columns if key != spec.target and key in current]
            share = current[keys].astype(str).duplicated().mean()
        elif share and check == "missing":
            share = labels_of(name, current).isna().mean()
        elif share and check == "range" and (column := spec.columns.get(name)):
            low, high = (np.nan if end is None else end for end in (column.minimum, column.maximum))
            values = numbers_of(current, name)
            share = float(np.mean(np.isinf(values) | (values < low) | (values > high)))
        if share >= WORTH:
            yield f"{name or 'rows'}: {check} in {share:.0%} of the rows"


def damaged(before: list[str], now: list[str]) -> Iterator[str]:
    """Texts that nobody wrote so: blank, of characters that only a wrong decoding leaves, or cut at one length."""
    different = {text for text in now if text.strip()}  # one text sent many times is not cut
    lengths = Counter(map(len, different))
    near = {length: max(lengths[length - 1], lengths[length + 1]) for length in lengths}
    often = max(near, key=lambda length: (lengths[length] - 2 * near[length], length), default=0)
    ends = Counter((WORD.findall(text) or [""])[-1] for text in different if len(text) == often)
    one_form = 2 * max(ends.values(), default=0) >= lengths[often]  # many of one wording, with other numbers in it
    spike = lengths[often] >= max(10, 2 * near.get(often, 0)) and not one_form
    marks: dict[str, Callable[[str], bool]] = {
        "blank": lambda text: not text.strip(),
        "of damaged characters": lambda text: DAMAGE.search(text) is not None,
        f"cut at {often} characters": lambda text: spike and len(text) == often,
    }
    for what, hit in marks.items():
        usual, marked = (np.array([hit(text) for text in texts], dtype=np.bool_) for texts in (before, now))
        if more(usual, marked):
            yield f"{marked.mean():.0%} of the texts are {what}"


def fell_apart(spec: DatasetSpec, reference: Frame, current: Frame) -> Iterator[str]:
    """Pairs of numbers that went together and no longer do: Spearman's correlations, compared by Fisher's z."""
    names = [n for n in spec.features if spec.columns[n].numerical and n not in outputs(spec)][:MOST_COLUMNS]
    tables = [pd.DataFrame({name: numbers_of(frame, name) for name in names}) for frame in (reference, current)]
    tables = [table.where(np.isfinite(table)) for table in tables]
    before, after = (table.corr(method="spearman", min_periods=30).clip(-0.999, 0.999) for table in tables)
    for one, other in combinations(before, 2):
        was, now = before.loc[one, other], after.loc[one, other]
        rows = [int(table[[one, other]].notna().all(axis=1).sum()) for table in tables]
        if abs(was) >= LARGE_Q and not np.isnan(now):
            q = float(np.arctanh(abs(was)) - np.arctanh(max(0.0, now * np.sign(was))))
            if q >= LARGE_Q and norm.sf(q / sum(1.06 / (n - 3) for n in rows) ** 0.5) < ALPHA:
                yield f"{one} and {other} no longer go together: rank correlation {now:.2f} after {was:.2f}"
