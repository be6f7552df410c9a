"""Evidently's own page about a window, kept beside the dataset, readable by its owner only."""

import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.detectors.drift.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 10_000
KEPT = 50  # pages of one dataset; older ones are removed

logger = logging.getLogger("firebreak.drift")


def keep_report(
    dataset: MonitoredDataset, spec: DatasetSpec, reference: "pd.DataFrame", window: "pd.DataFrame"
) -> str | None:
    """The page's path; None where the block names no folder, or the page can't be made: the finding counts, not it."""
    if dataset.reports is None:
        return None
    try:
        return _kept(dataset.reports.absolute() / spec.dataset, spec, reference, window)
    except Exception as error:  # noqa: BLE001 - a full disk or a page that won't render must not lose the finding
        logger.warning("dataset %s: no page about the window: %s: %s", spec.dataset, type(error).__name__, error)
        return None


def _kept(folder: Path, spec: DatasetSpec, reference: "pd.DataFrame", window: "pd.DataFrame") -> str:
    from firebreak.detectors.drift.report import render

    page = render(spec, reference, window, SAMPLE_ROWS)
    last = window.iloc[-1]
    mark = hashlib.sha256(str(last.get(spec.id)).encode("utf-8", "replace")).hexdigest()[:8]
    path = folder / f"{last[spec.time]:%Y%m%dT%H%M%S}-{mark}.html"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(page)
    for old in sorted(path.parent.glob("*.html"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return str(path)
