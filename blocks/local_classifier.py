"""A Hugging Face text classifier from a folder of this machine, as a function from text to an attack's probability."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

PIECE = 1_500  # characters: about as many tokens as such models take at once (512) hold of ordinary prose
OVERLAP = 200

Classify = Callable[[str], float]
Pipeline = Callable[[list[str]], list[list[dict[str, Any]]]]


@lru_cache(maxsize=2)
def load_classifier(folder: Path, attack_labels: tuple[str, ...]) -> Classify:
    """Read once a process. Errors: ModuleNotFoundError (the extra is missing), OSError, ValueError (its labels)."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder; save the model there, nothing is downloaded")
    try:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
    except ModuleNotFoundError:
        raise ModuleNotFoundError("the extra is missing: pip install 'firebreak[guard-model]'") from None
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, **here)  # no pickles
    tokenizer = AutoTokenizer.from_pretrained(folder, **here)
    check_labels(model.config.id2label.values(), attack_labels)
    run = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    return classifier(lambda texts: run(texts, top_k=None, truncation=True), attack_labels)


def check_labels(labels: Sequence[str], attack_labels: Sequence[str]) -> None:
    """Errors: ValueError where none of the model's labels means an attack, so that it could never vote."""
    if not {label.casefold() for label in labels} & set(attack_labels):
        raise ValueError(f"its labels are {', '.join(labels)}: name those that mean an attack in attack_labels")


def classifier(run: Pipeline, attack_labels: Sequence[str]) -> Classify:
    """The highest probability of an attack over the text's pieces."""

    def classify(text: str) -> float:
        answers = run(pieces(text))
        return max(
            sum(float(a["score"]) for a in answer if a["label"].casefold() in attack_labels) for answer in answers
        )

    return classify


def pieces(text: str) -> list[str]:
    """The text in overlapping pieces that a model can take whole; one at least."""
    step = PIECE - OVERLAP
    return [text[start : start + PIECE] for start in range(0, max(1, len(text) - OVERLAP), step)]
