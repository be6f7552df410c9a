"""How often drift is called where there is none, and a small one found: `python -m tests.benchmarks.drift_rates`.

Windows of 1,000 rows against a reference of 5,000, 20 columns, under the shipped spec's thresholds, false discovery
rate and persistence. First 200 scans in which nothing drifts, as `scan-drift` makes them: a Parquet file, a store, all
checks; the drifts confirmed and the incidents opened must stay within the configured rate. Then one column moves by 0.2
standard deviations: it must be confirmed within the persistence's windows in 95 of 100 tries.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml

from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.store import JudgedWindow, Store
from firebreak.detectors.drift.persistence import confirmed
from firebreak.detectors.drift.spec import SHIPPED, Column, DatasetSpec, Kind, Method, read_spec
from firebreak.detectors.drift.verdicts import judge
from firebreak.flows.drift_scanning import next_window

AIM = 95
RENEWED_EVERY = 20  # scans; each draw of a reference is a chance to be wrong for long

NUMBERS: dict[str, Any] = {
    "normal": lambda rng, rows: rng.normal(size=rows),
    "wide normal": lambda rng, rows: rng.normal(1e6, 1e3, rows),
    "uniform": lambda rng, rows: rng.random(rows),
    "exponential": lambda rng, rows: rng.exponential(size=rows),
    "lognormal": lambda rng, rows: rng.lognormal(5, 0.8, rows),
    "lognormal, heavy": lambda rng, rows: rng.lognormal(0, 1.5, rows),
    "pareto": lambda rng, rows: rng.pareto(2.5, rows),
    "student": lambda rng, rows: rng.standard_t(3, rows),
    "beta": lambda rng, rows: rng.beta(2, 20, rows),
    "confidence": lambda rng, rows: rng.beta(8, 1.5, rows),
    "gamma": lambda rng, rows: rng.gamma(2, 100, rows),
    "two humps": lambda rng, rows: rng.normal(size=rows) + 6 * (rng.random(rows) < 0.3),
    "mostly zero": lambda rng, rows: rng.exponential(size=rows) * (rng.random(rows) < 0.2),
    "gaps": lambda rng, rows: np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
    "whole numbers": lambda rng, rows: rng.integers(10, 500, rows),
    "counts": lambda rng, rows: rng.poisson(3, rows),
    "flag": lambda rng, rows: (rng.random(rows) < 0.05).astype(int),
}
LABELS: dict[str, Any] = {
    "queue": lambda rng, rows: rng.choice(["access", "billing", "bug", "how-to"], rows),
    "country": lambda rng, rows: rng.choice(30, rows, p=np.arange(1, 31) / 465).astype(str),
    "feedback": lambda rng, rows: np.where(
        rng.random(rows) < 0.9, None, rng.choice(["good", "bad"], rows, p=[0.8, 0.2])
    ),
}
KINDS = {**dict.fromkeys(NUMBERS, Kind.NUMERICAL), **dict.fromkeys(LABELS, Kind.CATEGORICAL)}


def spec() -> DatasetSpec:
    """The shipped spec with this benchmark's columns, each judged as the shipped one of its kind."""
    shipped = read_spec(SHIPPED)
    numbers, labels = shipped.columns["latency_ms"], shipped.columns["router_label"]
    methods: dict[Kind, tuple[Method, Column]] = {
        Kind.NUMERICAL: (numbers.method, numbers), Kind.CATEGORICAL: (labels.method, labels)
    }  # fmt: skip
    columns = {
        name: Column(kind=kind, method=methods[kind][0], threshold=methods[kind][1].threshold,
                     effect=methods[kind][1].effect)
        for name, kind in KINDS.items()
    }  # fmt: skip
    return shipped.model_copy(update={"columns": columns})


def frame(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    return pd.DataFrame({name: draw(rng, rows) for name, draw in {**NUMBERS, **LABELS}.items()})


def scan(watched: DatasetSpec, reference: pd.DataFrame, windows: list[pd.DataFrame]) -> list[dict[str, bool]]:
    """Which columns drifted, window by window."""
    return [{c.column: c.drifted for c in judge(watched, reference, window).columns} for window in windows]


def undrifted(folder: Path, name: str, scans: int, rows: int, reference: int, seed: int) -> MonitoredDataset:
    """A dataset on a file of as many rows as the reference and this many windows take; nothing in it drifts."""
    table = frame(np.random.default_rng([20, seed]), reference + scans * rows)
    table["id"] = [f"{name}-{row}" for row in range(len(table))]
    table["time"] = pd.Timestamp("2026-05-01", tz="UTC") + pd.to_timedelta(np.arange(len(table)), unit="s")
    source, file = folder / f"{name}.parquet", folder / f"{name}.yml"
    table.to_parquet(source, index=False)
    columns = {c: column.model_dump(mode="json", exclude_none=True) for c, column in spec().columns.items()}
    sizes = {"window": {"rows": rows}, "reference": {"rows": reference}}
    given = {"dataset": name, "source": {"type": "parquet", "path": str(source)}, "text": None, "columns": columns}
    file.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED.read_text()) | sizes | given))
    return MonitoredDataset(spec=file)


def scanned(store: Store, dataset: MonitoredDataset) -> Iterator[JudgedWindow]:
    """What `scan-drift` judges, until no whole window is left."""
    with store.lease(f"scan-drift:{dataset.definition().dataset}", "benchmark") as lease:
        assert lease
        while (step := next_window(store, dataset, lease, lambda spec, window: None)).waiting == 0:
            if step.window:
                yield step.window
            elif not step.put_in_force:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1000, help="of a window")
    parser.add_argument("--reference", type=int, default=5000, help="rows of the reference")
    parser.add_argument("--shift", type=float, default=0.2, help="in standard deviations")
    arguments = parser.parse_args()
    watched = spec()
    rule, rate = watched.persistence, watched.false_discovery_rate
    rng = np.random.default_rng(20)

    scans = called = stood = 0
    with TemporaryDirectory(prefix="firebreak-rates-") as folder:
        store = Store(f"sqlite:///{folder}/store.db")
        while left := min(RENEWED_EVERY, arguments.scans - scans):
            sizes = (left, arguments.rows, arguments.reference)
            for window in scanned(store, undrifted(Path(folder), f"undrifted-{scans}", *sizes, scans)):
                scans += 1
                called += sum(window.drifted.values())
                stood += len(window.confirmed)
        incidents = [f"{incident.kind} of {incident.actor}" for incident in store.incidents.in_states()]
    print(f"nothing drifts, {scans} scans of {len(KINDS)} columns:")
    print(f"  {called} columns or checks called in a single window")
    print(f"  {stood} confirmed ({rule.k} of {rule.of} windows), {len(incidents)} incidents {', '.join(incidents)}")
    print(f"  configured rate {rate:g} a scan: {rate * scans:g} of {scans} allowed")
    print(f"  confirmed {stood / scans:.4f} a scan, {stood / scans / len(KINDS):.6f} a column and scan")

    found: dict[str, int] = {}
    for name in ("normal", "uniform", "lognormal"):
        deviation = float(np.std(NUMBERS[name](rng, 1_000_000)))
        found[name] = 0
        for _ in range(arguments.tries):
            windows = [frame(rng, arguments.rows) for _ in range(rule.of)]
            for window in windows:
                window[name] += arguments.shift * deviation
            found[name] += confirmed(scan(watched, frame(rng, arguments.reference), windows), rule)[name]
        print(
            f"{name} column moved by {arguments.shift:g} deviations: confirmed within {rule.of} windows in "
            f"{found[name]} of {arguments.tries}"
        )
    aim = AIM * arguments.tries / 100
    if max(stood, len(incidents)) > rate * scans or min(found.values()) < aim:
        raise SystemExit(
            f"the aim: at most {rate:g} drifts confirmed and incidents opened a scan, at least {aim:g} of "
            f"{arguments.tries} found"
        )


if __name__ == "__main__":
    main()
