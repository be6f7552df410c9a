"""Labelled texts for the trainer: JSON lines of ``text`` and ``label``, with ``source`` and ``kind`` if known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class TrainingDataError(ValueError):
    """Labelled data that can't be read: the file, the line, what is wrong and what is allowed."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    text: str
    label: int = Field(ge=0, le=1)
    source: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Labelled:
    """One labelled text; ``attack`` says what it is."""

    text: str
    attack: bool
    source: str
    kind: str


def read_folder(folder: Path) -> list[Labelled]:
    """Every ``*.jsonl`` of a folder. Without a source a line belongs to its file, without a kind to its label.

    Raises:
        TrainingDataError: no such file, or a line that is no labelled text.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise TrainingDataError(f"{folder}: holds no *.jsonl; point at a folder of labelled texts")
    return [labelled for file in files for labelled in _read(file)]


def _read(file: Path) -> list[Labelled]:
    found = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            content = _Line.model_validate(json.loads(line))
        except (ValueError, RecursionError) as error:
            what = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
            key = ".".join(map(str, what["loc"])) or "line"
            raise TrainingDataError(
                f"{file}:{number}: {key}: {what['msg']}; a line is a JSON object with `text` (a string) and `label` "
                "(1 attack, 0 benign), `source` and `kind` if known"
            ) from None
        text = content.text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate can't be read by RE2
        kind = content.kind or ("attack" if content.label else "benign")
        found.append(Labelled(text, bool(content.label), content.source or file.stem, kind))
    return found
