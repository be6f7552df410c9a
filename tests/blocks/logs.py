"""Records and logs for the tests of the interaction log and the guard."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from firebreak.blocks.interaction_log import Chunk, InteractionLog, Position
from firebreak.detectors.records import Record

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(id: str, prompt: str = "How do I reset my password?", **fields: object) -> Record:
    return Record.model_validate({"id": id, "time": NOON, "workflow": "support", "prompt": prompt, **fields})


def chunks(log: InteractionLog, position: Position | None = None, max_bytes: int = 4_000_000) -> Iterator[Chunk]:
    """Reads to the end, each position taken through JSON as the store does."""
    while True:
        chunk = log.read(position, max_bytes)
        position = Position.model_validate_json(chunk.position.model_dump_json())
        yield chunk
        if chunk.at_end:
            return


def ids(lines: list[bytes]) -> list[str]:
    """Ids of the lines that are whole records, in order."""
    found = []
    for line in lines:
        try:
            found.append(json.loads(line)["id"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def rotate(path: Path) -> None:
    """What logrotate does: log.1 becomes log.2, …, the log becomes log.1."""
    shift(path)
    if path.exists():
        path.rename(f"{path}.1")


def shift(path: Path) -> None:
    """Make room for a new log.1."""
    number = 1
    while Path(f"{path}.{number}").exists():
        number += 1
    for n in range(number, 1, -1):
        Path(f"{path}.{n - 1}").rename(f"{path}.{n}")
