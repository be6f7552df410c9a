"""Datasets on a log of the test's own, written and read window by window."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.monitored_dataset import MonitoredDataset, Reading
from tests.blocks.logs import NOON, record

ROWS = 4
SPEC = """
dataset: support-tickets
workflow: answer-tickets
source: {type: interaction-log}
window: {rows: 4}
reference: {rows: 4}
minimum_sample: 2
columns:
  latency_ms: {kind: numerical, method: wasserstein, threshold: 0.1}
  feedback: {kind: target, method: jensenshannon, threshold: 0.1}
"""


def watched(folder: Path, spec: str = SPEC) -> MonitoredDataset:
    (folder / "spec.yml").write_text(spec)
    return MonitoredDataset(
        spec=folder / "spec.yml", log=InteractionLog(path=folder / "calls.log", max_line_bytes=1000)
    )


def log_of(dataset: MonitoredDataset) -> InteractionLog:
    assert dataset.log
    return dataset.log


def call(dataset: MonitoredDataset, number: int, **fields: Any) -> None:
    given: dict[str, Any] = {
        "workflow": "answer-tickets",
        "time": NOON + timedelta(seconds=number),
        "response": "Soon.",
    }
    log_of(dataset).append(record(f"r{number:04}", **(given | fields)))


def label(dataset: MonitoredDataset, number: int, feedback: str, **fields: Any) -> None:
    late = {"time": NOON + timedelta(hours=1), "response": None, "prompt": "", "feedback": feedback}
    call(dataset, number, **(late | fields))


def read(dataset: MonitoredDataset, position: Any, rows: int = ROWS) -> Reading:
    """One reading, its position taken through JSON as the store does."""
    reading = dataset.read_on(position, rows)
    return reading.model_copy(update={"position": json.loads(json.dumps(reading.position))})


def offset(reading: Reading) -> int:
    assert reading.position
    (place,) = reading.position["log"]["places"]
    return int(place["offset"])


def windows(dataset: MonitoredDataset, position: Any = None, rows: int = ROWS) -> tuple[list[list[str]], Any]:
    """The ids of every whole window from there, and the position after them."""
    found: list[list[str]] = []
    while (reading := read(dataset, position, rows)).window is not None:
        found.append(reading.window["id"].tolist())
        position = reading.position
    return found, reading.position


def names(*numbers: int) -> list[str]:
    return [f"r{number:04}" for number in numbers]
