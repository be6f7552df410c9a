"""How often drift is called where there is none, and a small one found: `python -m tests.benchmarks.drift_rates`.

Windows of 1,000 rows against a reference of 5,000, 20 columns, under the shipped spec's thresholds, false discovery
rate and persistence. First 200 scans in which nothing drifts: the drifts confirmed must stay within the configured
rate. Then one column moves by 0.2 standard deviations: it must be confirmed within the persistence's windows in 95
of 100 tries.
"""

import argparse
from typing import Any

import numpy as np
import pandas as pd

from firebreak.detectors.drift.persistence import confirmed
from firebreak.detectors.drift.spec import SHIPPED, Column, DatasetSpec, Kind, Method, read_spec
from firebreak.detectors.drift.verdicts import judge

AIM = 95

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

    history: list[dict[str, bool]] = []
    called = stood = 0
    for number in range(arguments.scans):
        if number % 20 == 0:  # a reference is renewed now and then; each draw of it is a chance to be wrong for long
            reference, history = frame(rng, arguments.reference), []
        history += scan(watched, reference, [frame(rng, arguments.rows)])
        called += sum(history[-1].values())
        stood += sum(confirmed(history, rule).values())
    columns = arguments.scans * len(KINDS)
    print(f"nothing drifts, {arguments.scans} scans of {len(KINDS)} columns:")
    print(f"  {called} columns called in a single window, {stood} drifts confirmed ({rule.k} of {rule.of} windows)")
    print(f"  configured rate {rate:g} a scan: {rate * arguments.scans:g} of {arguments.scans} allowed")
    print(f"  seen {stood / arguments.scans:.4f} a scan, {stood / columns:.6f} a column and scan")

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
    if stood > rate * arguments.scans or min(found.values()) < aim:
        raise SystemExit(f"the aim: at most {rate:g} confirmed a scan, at least {aim:g} of {arguments.tries} found")


if __name__ == "__main__":
    main()
