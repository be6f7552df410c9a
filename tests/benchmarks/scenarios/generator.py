"""Seeded scenarios of a support desk: a reference period, a current period, two router versions, and the truth.

Four kinds: `model` (a bad new version went live, the tickets are as ever), `population` (other tickets: new topics,
other words, longer tickets, another mix of queues), `data` (what is recorded is broken) and `none`. All of them are
made from one time-ordered table `text,label,timestamp`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from firebreak.detectors.drift import spec as specs
from firebreak.detectors.drift.spec import DatasetSpec, read_spec
from tests.benchmarks.scenarios import made_up_word, periods, recorded

KINDS = ("model", "population", "data", "none")
SHIPPED_SPEC = Path(specs.__file__).parents[1] / "datasets" / "support_tickets.yml"
FORMER, CHAMPION = "3", "4"
HARM = 0.08  # a version is bad when its accuracy on the very same tickets is lower by this
LABEL_SHARES = (0.0, 0.0, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Scenario:
    """`labels` and `reference_labels` are the true ones, row by row; `training` (text, label) made the former."""

    kind: str
    how: str
    strength: float
    label_share: float
    spec: DatasetSpec
    reference: pd.DataFrame
    current: pd.DataFrame
    champion: Pipeline
    former: Pipeline
    training: pd.DataFrame
    reference_labels: list[str]
    labels: list[str]

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.how} {self.strength:.2f}, {len(self.current)} rows, {self.label_share:.0%} labelled"


def scenarios(tickets: pd.DataFrame, each: int, seed: int) -> Iterator[Scenario]:
    """`each` of every kind, the kinds in turn; the same seed and table give the same scenarios."""
    for number in range(each):
        for place, kind in enumerate(KINDS):
            yield make(kind, number, tickets, np.random.default_rng([seed, place, number]))


def make(kind: str, number: int, tickets: pd.DataFrame, rng: np.random.Generator) -> Scenario:
    """Training, reference and current period follow one another, beginning anywhere in the table."""
    trained, kept, rows = periods(len(tickets), rng)
    start = int(rng.integers(0, max(1, len(tickets) - trained - kept - 3 * rows)))
    stretch = tickets.iloc[start : start + trained + kept + 3 * rows].reset_index(drop=True)
    strength, share, how = float(rng.uniform(0.3, 1.0)), float(rng.choice(LABEL_SHARES)), "steady"
    before, coming = stretch.iloc[: trained + kept], stretch.iloc[trained + kept :]
    if kind == "population":
        how, shift = nth(SHIFTS, number)
        before, now = shift(before, coming, rows, strength, rng)
    else:
        now = coming.iloc[:rows]
    training, period = before.iloc[:-kept], before.iloc[-kept:]
    former = router(training.text, training.label)
    early = min(60, trained // 13)
    champion, replaced = router(training.text[early:], training.label[early:]), bool(rng.random() < 0.3)
    if kind == "model":
        how, strength, champion = bad_version(number, training, former, now, strength, rng)
        replaced = True
    elif replaced:  # a good new version went live when the current period began
        champion = router(before.text, before.label)
    asked = now
    if kind == "data" and (how := nth(FAULTS, number)[0]) in TEXT_FAULTS:
        hit = rng.random(len(now)) < strength
        asked = now.assign(text=now.text.where(~hit, now.text.map(TEXT_FAULTS[how])))
    reference = recorded(period, FORMER if replaced else CHAMPION, former if replaced else champion, share, rng)
    current = recorded(asked, CHAMPION, champion, share, rng).assign(truth=now.label.to_numpy())
    if how in RECORD_FAULTS:
        current = RECORD_FAULTS[how](current, strength, rng)
    labels = current.pop("truth").tolist()
    spec = fitted_spec(tickets, rows, kept)
    return Scenario(kind, how, strength, share, spec, reference, current, champion, former,
                    training[["text", "label"]], period.label.tolist(), labels)  # fmt: skip


def router(texts: Any, labels: Any, vectorizer: Any = None) -> Pipeline:
    """The shipped router's kind of model."""
    words = vectorizer or TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(words, LogisticRegression(C=10, max_iter=500)).fit(list(texts), list(labels))


def accuracy(model: Pipeline, texts: Any, labels: Any) -> float:
    return float(np.mean(model.predict(list(texts)) == np.array(list(labels), dtype=object)))


def nth(table: dict[str, Any], number: int) -> tuple[str, Any]:
    return list(table.items())[number % len(table)]


# Bad versions: (texts, labels, strength, rng) -> the fitted pipeline.


def shuffled_labels(texts: pd.Series, labels: pd.Series, strength: float, rng: np.random.Generator) -> Pipeline:
    wrong = labels.to_numpy().copy()
    hit = rng.random(len(wrong)) < strength
    wrong[hit] = rng.permutation(wrong[hit])
    return router(texts, wrong)


def mistaken_queue(texts: pd.Series, labels: pd.Series, strength: float, rng: np.random.Generator) -> Pipeline:
    one, other = rng.choice(labels.value_counts().index[:5], 2, replace=False)
    return router(texts, labels.where((labels != one) | (rng.random(len(labels)) >= strength), other))


def forgotten_queue(texts: pd.Series, labels: pd.Series, strength: float, rng: np.random.Generator) -> Pipeline:
    kept = (labels != rng.choice(labels.value_counts().index[:5])) | (rng.random(len(labels)) >= strength)
    return mistaken_queue(texts, labels, 0.0, rng) if labels[kept].nunique() < 2 else router(texts[kept], labels[kept])


def trained_on_capitals(texts: pd.Series, labels: pd.Series, strength: float, rng: np.random.Generator) -> Pipeline:
    loud = texts.where(rng.random(len(texts)) >= strength, texts.str.upper())
    return router(loud, labels, TfidfVectorizer(lowercase=False))


def colliding_features(texts: pd.Series, labels: pd.Series, strength: float, rng: np.random.Generator) -> Pipeline:
    return router(texts, labels, HashingVectorizer(n_features=int(2 ** (8 - 4 * strength))))


def too_few_rows(texts: pd.Series, labels: pd.Series, strength: float, rng: np.random.Generator) -> Pipeline:
    few = labels.groupby(labels).head(int(20 - 17 * strength)).index
    return router(texts[few], labels[few])


BAD_VERSIONS: dict[str, Callable[..., Pipeline]] = {
    "shuffled labels": shuffled_labels,
    "mistaken queue": mistaken_queue,
    "trained on capitals": trained_on_capitals,
    "colliding features": colliding_features,
    "forgotten queue": forgotten_queue,
    "too few rows": too_few_rows,
}


def bad_version(number: int, training: pd.DataFrame, former: Pipeline, now: pd.DataFrame, strength: float,
                rng: np.random.Generator) -> tuple[str, float, Pipeline]:  # fmt: skip
    """Stronger, and at last of another sort, until the harm is real."""
    good = accuracy(former, now.text, now.label)
    for attempt in range(60):
        how, spoil = nth(BAD_VERSIONS, number + attempt // 10)
        model = spoil(training.text, training.label, strength, rng)
        if accuracy(model, now.text, now.label) <= good - HARM:
            return how, strength, model
        strength = min(1.0, strength + 0.1)
    raise SystemExit(
        "no bad version is worse than the good one on this table: its labels can't be learnt from its texts"
    )


# Population shifts: (tickets before, tickets to come, rows, strength, rng) -> tickets before, tickets now.
Tickets: TypeAlias = pd.DataFrame
Shifted: TypeAlias = tuple[pd.DataFrame, pd.DataFrame]


def new_topics(before: Tickets, coming: Tickets, rows: int, strength: float, rng: np.random.Generator) -> Shifted:
    """Some words of each label are its new topics: nobody wrote of them before."""
    both = pd.concat([before, coming])
    counter = CountVectorizer(binary=True, min_df=5)
    counts, names = counter.fit_transform(both.text), counter.get_feature_names_out()
    topics: set[str] = set()
    for label in both.label.unique():
        mine = (both.label == label).to_numpy()
        own = np.asarray(counts[mine].mean(axis=0)).ravel()
        rest = np.asarray(counts[~mine].mean(axis=0)).ravel()
        fit = np.flatnonzero((own > 0.02) & (own < 0.25) & (own > 4 * rest))
        covered = 0.0
        for place in rng.permutation(fit):
            if covered < 0.3:
                topics, covered = topics | {names[place]}, covered + float(own[place])
    words = counter.build_analyzer()

    def new(tickets: Tickets) -> Any:
        return np.array([bool(topics.intersection(words(text))) for text in tickets.text])

    news = coming[new(coming)].iloc[: round(strength * rows)]
    usual = coming[~new(coming)].iloc[: rows - len(news)]
    return before[~new(before)], pd.concat([news, usual]).sort_values("timestamp")


def new_words(before: Tickets, coming: Tickets, rows: int, strength: float, rng: np.random.Generator) -> Shifted:
    """Things got new names: a share of the meaningful words is spelled as never before."""
    counter = CountVectorizer(token_pattern=r"(?u)\b[^\W\d_]{4,}\b", min_df=3, max_df=0.2)
    known = counter.fit(before.text).get_feature_names_out()
    renamed = {word: made_up_word(rng) for word in known[rng.random(len(known)) < 0.2 + 0.6 * strength]}

    def rename(text: str) -> str:
        return re.sub(r"\w+", lambda word: renamed.get(word[0].lower(), word[0]), text)

    now = coming.iloc[:rows]
    return before, now.assign(text=now.text.map(rename))


def longer(before: Tickets, coming: Tickets, rows: int, strength: float, rng: np.random.Generator) -> Shifted:
    """Tickets that tell of two other troubles besides their own."""
    now = coming.iloc[:rows]
    others = [f"{one} {two}" for one, two in zip(rng.permutation(now.text), rng.permutation(now.text), strict=True)]
    chatty = (now.text + " " + pd.Series(others, index=now.index)).where(rng.random(rows) < strength, now.text)
    return before, now.assign(text=chatty)


def other_mix(before: Tickets, coming: Tickets, rows: int, strength: float, rng: np.random.Generator) -> Shifted:
    """One label floods in."""
    flood = rng.choice(coming.label.value_counts().index[:5])
    weight = np.where(coming.label == flood, 1 + 9 * strength, 1.0)
    drawn = np.argsort(rng.exponential(size=len(coming)) / weight)[:rows]
    return before, coming.iloc[np.sort(drawn)]


def other_mix_and_words(before: Tickets, coming: Tickets, rows: int, strength: float, rng: Any) -> Shifted:
    return new_words(before, other_mix(before, coming, rows, strength, rng)[1], rows, strength, rng)


SHIFTS: dict[str, Callable[..., Shifted]] = {
    "new topics": new_topics,
    "new words": new_words,
    "longer tickets": longer,
    "other mix": other_mix,
    "other mix and words": other_mix_and_words,
}

# Broken data. On its way in, so that the router saw it too: text -> text. As it was recorded: frame -> frame.
TEXT_FAULTS: dict[str, Callable[[str], str]] = {
    "truncated texts": lambda text: text[:12],
    "empty texts": lambda text: "",
    "wrong encoding": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "lost characters": lambda text: re.sub("[aeiourst]", "\ufffd", text),
}
NUMBERS = ("prompt_length", "response_length", "non_letter_share", "latency_ms", "prompt_tokens", "response_tokens")
Frame: TypeAlias = pd.DataFrame


def constant_column(frame: Frame, strength: float, rng: np.random.Generator) -> Frame:
    column = str(rng.choice(NUMBERS))
    return frame.assign(**{column: frame[column].iloc[0]})


def missing_latencies(frame: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return frame.assign(latency_ms=frame.latency_ms.where(rng.random(len(frame)) >= strength))


def duplicated_rows(frame: Frame, strength: float, rng: np.random.Generator) -> Frame:
    places = np.arange(len(frame))
    hit = rng.random(len(frame)) < strength
    places[hit] = rng.integers(0, max(1, len(frame) // 10), int(hit.sum()))
    return frame.iloc[places].reset_index(drop=True)


def swapped_columns(frame: Frame, strength: float, rng: np.random.Generator) -> Frame:
    one, other = rng.choice(NUMBERS, 2, replace=False)
    return frame.assign(**{one: frame[other], other: frame[one]})


def missing_column(frame: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return frame.drop(columns=str(rng.choice(NUMBERS)))


def other_unit(frame: Frame, strength: float, rng: np.random.Generator) -> Frame:
    return frame.assign(latency_ms=frame.latency_ms.where(rng.random(len(frame)) >= strength, frame.latency_ms / 1000))


RECORD_FAULTS: dict[str, Callable[..., Frame]] = {
    "constant column": constant_column,
    "missing latencies": missing_latencies,
    "duplicated rows": duplicated_rows,
    "swapped columns": swapped_columns,
    "missing column": missing_column,
    "other unit": other_unit,
}
FAULTS: dict[str, Any] = {**TEXT_FAULTS, **RECORD_FAULTS}


def fitted_spec(tickets: pd.DataFrame, rows: int, reference_rows: int) -> DatasetSpec:
    """The shipped one, with this table's labels and this scenario's sizes."""
    shipped, labels = read_spec(SHIPPED_SPEC), tuple(sorted(tickets.label.unique()))
    columns = {name: column.model_copy(update={"categories": labels}) if column.categories else column
               for name, column in shipped.columns.items()}  # fmt: skip
    return shipped.model_copy(update={
        "columns": columns, "minimum_sample": min(shipped.minimum_sample, rows, reference_rows),
        "window": shipped.window.model_copy(update={"rows": rows}),
        "reference": shipped.reference.model_copy(update={"rows": reference_rows})})  # fmt: skip
