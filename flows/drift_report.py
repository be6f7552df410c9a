"""Evidently's own page about a window, kept beside the dataset, readable by its owner only."""

import os
from typing import TYPE_CHECKING

from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.detectors.drift.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 10_000
KEPT = 50  # pages of one dataset; older ones are removed


def keep_report(
    dataset: MonitoredDataset, spec: DatasetSpec, reference: "pd.DataFrame", window: "pd.DataFrame"
) -> str | None:
    """The page's path, or None where the block names no folder. A page that can't be written is no finding lost."""
    if dataset.reports is None:
        return None
    from firebreak.detectors.drift.report import render

    ended = window[spec.time].iloc[-1]
    path = dataset.reports.absolute() / f"{spec.dataset}-{ended:%Y%m%dT%H%M%S}.html"
    page = render(spec, reference, window, SAMPLE_ROWS)
    dataset.reports.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(page)
    for old in sorted(dataset.reports.glob(f"{spec.dataset}-*.html"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return str(path)
