"""The router: which of four queues a support ticket belongs to, by a small text model.

The model is the registry's champion (block ``model-registry/firebreak``). Without a registry, or without a
champion in it, it is trained in the process that first asks, on the tickets shipped beside this file.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from firebreak.flows.served_model import ServedModel

TICKETS = Path(__file__).with_name("support_tickets.csv")


class Route(BaseModel):
    """The router's prediction. ``version`` is the registry's number of the model that made it, or ``built-in``."""

    model_config = ConfigDict(frozen=True)

    label: str
    confidence: float
    version: str


def route(text: str) -> Route:
    """The queue for a ticket's text; the confidence is the label's probability, 0 to 1.

    Errors: RegistryError (there is a registry, and no version of it was ever loaded in this process).
    """
    model, version = _served.current()
    ((label, confidence),) = predict(model, [text])
    return Route(label=label, confidence=round(confidence, 4), version=version)


def train(texts: Sequence[str], labels: Sequence[str]) -> Any:
    """The shipped trainer: TF-IDF and logistic regression; the same data gives the same model.

    A trainer of your own takes the same two sequences (equally long) and gives a fitted scikit-learn estimator
    with ``predict_proba``. Errors: ValueError (nothing to learn from).
    """
    if len(texts) != len(labels):
        raise ValueError(f"router: {len(texts)} texts and {len(labels)} labels; each text needs one label")
    if len(kinds := Counter(labels)) < 2:
        raise ValueError(f"router: the labels are {sorted(kinds)}; at least two different ones are needed")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10))
    return model.fit(list(texts), list(labels))


def train_further(texts: Sequence[str], labels: Sequence[str]) -> Any:
    """The shipped policy's trainer: the shipped tickets and these, so that what the router knew stays known."""
    known_texts, known_labels = read_tickets()
    return train([*known_texts, *texts], [*known_labels, *labels])


def predict(model: Any, texts: Sequence[str]) -> list[tuple[str, float]]:
    """Label and its probability for each text. Errors: TypeError (the model gives no probabilities)."""
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"router: {type(model).__name__} has no predict_proba; train an estimator that has one")
    if not texts:
        return []
    chances = model.predict_proba(list(texts))
    best = chances.argmax(axis=1)
    return [(str(model.classes_[label]), float(row[label])) for label, row in zip(best, chances, strict=True)]


def read_tickets(path: Path = TICKETS) -> tuple[list[str], list[str]]:
    """Texts and labels."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


@lru_cache(maxsize=1)
def built_in() -> Any:
    """The model of the shipped tickets, trained once a process."""
    return train(*read_tickets())


_served = ServedModel(built_in)
