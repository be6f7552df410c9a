"""The router: which of four queues a support ticket belongs to, by a small text model.

TF-IDF and logistic regression, trained in the process that first asks, on the tickets shipped beside this file.
"""

import csv
import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

TICKETS = Path(__file__).with_name("support_tickets.csv")


class Route(BaseModel):
    """The router's prediction. ``version`` is that of the data it was trained on."""

    model_config = ConfigDict(frozen=True)

    label: str
    confidence: float
    version: str


def route(text: str) -> Route:
    """The queue for a ticket's text; the confidence is the label's probability."""
    predict, version = _trained()
    label, confidence = predict(text)
    return Route(label=label, confidence=round(confidence, 4), version=version)


def read_tickets(path: Path = TICKETS) -> tuple[list[str], list[str]]:
    """Texts and labels."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


@lru_cache(maxsize=1)
def _trained() -> tuple[Callable[[str], tuple[str, float]], str]:
    """The trained model, once a process. scikit-learn takes a second to import, so only who routes pays for it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10))
    model.fit(*read_tickets())

    def predict(text: str) -> tuple[str, float]:
        chances = model.predict_proba([text])[0]
        best = int(chances.argmax())
        return str(model.classes_[best]), float(chances[best])

    return predict, hashlib.sha256(TICKETS.read_bytes()).hexdigest()[:12]
