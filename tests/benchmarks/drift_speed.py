"""How long the verdicts on one window take, beside Evidently's own preset: `python -m tests.benchmarks.drift_speed`.

Both get the same two frames, each in a process of its own, and are timed from the frames to the numbers (imports and
the frames' making left out), with the peak of memory above the frames. The ratio is of processor seconds: on a busy
machine the clock tells of the others. The preset is pinned to what it chooses by itself above 1,000 rows: Wasserstein
for numbers, Jensen-Shannon for labels and for numbers of five values or fewer. Needs Linux with glibc (the peak is
read from /proc). The aim: 20 times as fast, a third of the memory, the same numbers.
"""

import argparse
import ctypes
import gc
import multiprocessing
import re
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from firebreak.detectors.drift.spec import Column, DatasetSpec, Kind, Method, parse_spec
from tests.benchmarks.drift_rates import KINDS, LABELS, NUMBERS

Scores = dict[str, float]

FASTER, LEANER, SAME = 20.0, 3.0, 1e-9
FEW_VALUES = ("flag",)
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
HEAD = "{dataset: d, workflow: w, source: {type: interaction-log}, window: {rows: 2}, reference: {rows: 2}, \
minimum_sample: 2, columns: {x: {kind: numerical, method: ks, threshold: 1}}}"


def spec(columns: int) -> DatasetSpec:
    """As many columns as asked for, every kind and shape of the other benchmark in turn."""
    names = [*LABELS, *NUMBERS]
    judged = {}
    for number in range(columns):
        name = names[number % len(names)]
        distance = name in NUMBERS and name not in FEW_VALUES
        method = Method.WASSERSTEIN if distance else Method.JENSENSHANNON
        judged[f"{name} {number}"] = Column(kind=KINDS[name], method=method, threshold=0.1)
    return parse_spec(HEAD, "benchmark").model_copy(update={"columns": judged})


def frame(watched: DatasetSpec, rows: int, seed: int) -> pd.DataFrame:
    rng, draw = np.random.default_rng(seed), {**NUMBERS, **LABELS}
    return pd.DataFrame({name: draw[name.rpartition(" ")[0]](rng, rows) for name in watched.columns})


def judged_by_us(watched: DatasetSpec) -> Callable[[pd.DataFrame, pd.DataFrame], Scores]:
    from firebreak.detectors.drift.verdicts import judge

    def scores(reference: pd.DataFrame, current: pd.DataFrame) -> Scores:
        verdict = judge(watched, reference, current)
        return {column.column: column.score for column in verdict.columns if column.score is not None}

    return scores


def judged_by_evidently(watched: DatasetSpec) -> Callable[[pd.DataFrame, pd.DataFrame], Scores]:
    warnings.simplefilter("ignore")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name, column in watched.columns.items() if column.kind is Kind.NUMERICAL]
    labels = [name for name in watched.columns if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=labels)
    methods = {name: column.method.value for name, column in watched.columns.items()}

    def scores(reference: pd.DataFrame, current: pd.DataFrame) -> Scores:
        report = Report([DataDriftPreset(per_column_method=methods)])
        run = report.run(Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition))
        found = {}
        for metric in run.dict()["metrics"]:
            if named := re.match(r"ValueDrift\(column=(.*?),method", metric["metric_name"]):
                found[named[1]] = float(metric["value"])
        return found

    return scores


def memory(key: str) -> float:
    """This process's memory in MB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    found = re.search(rf"{key}:\s+(\d+) kB", STATUS.read_text())
    if found is None:
        raise SystemExit(f"{STATUS} holds no {key}: this benchmark needs Linux")
    return int(found[1]) / 1024


def settle() -> None:
    """Give back what making the frames took, so that it doesn't hide what comes; count the peak from here."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")


def measured(by_us: bool, rows: int, columns: int) -> tuple[float, float, float, Scores]:
    """Seconds, seconds of processor, MB above the frames, and the numbers: in a process of its own."""
    watched = spec(columns)
    scores = (judged_by_us if by_us else judged_by_evidently)(watched)
    warm = [frame(watched, 1100, seed) for seed in (1, 2)]
    scores(*warm)  # loads what is only loaded when needed
    frames = [frame(watched, rows, seed) for seed in (3, 4)]
    settle()
    before, began, worked = memory("VmRSS"), time.perf_counter(), time.process_time()
    found = scores(*frames)
    return time.perf_counter() - began, time.process_time() - worked, memory("VmHWM") - before, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    arguments = parser.parse_args()
    results = []
    title = f"{arguments.rows} rows a side, {arguments.columns} columns"
    print(f"{title:36}{'seconds':>9}{'of processor':>14}{'peak MB above the frames':>26}")
    for name, by_us in (("Evidently's preset", False), ("verdicts", True)):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            results.append(alone.submit(measured, by_us, arguments.rows, arguments.columns).result())
        print(f"{name:36}{results[-1][0]:9.2f}{results[-1][1]:14.2f}{results[-1][2]:26.0f}", flush=True)
    (_, their_seconds, their_memory, theirs), (_, seconds, peak, ours) = results
    if ours.keys() != theirs.keys():
        raise SystemExit(f"not the same columns: {sorted(ours.keys() ^ theirs.keys())}")
    apart = max(abs(ours[name] - theirs[name]) for name in ours)
    faster, leaner = their_seconds / seconds, their_memory / max(peak, 0.1)
    print(f"{faster:.1f} times as fast, {leaner:.1f} times less memory, numbers apart by {apart:.1e} at most "
          f"(the aim: {FASTER:g}, {LEANER:g}, {SAME:g})")  # fmt: skip
    if faster < FASTER or leaner < LEANER or apart > SAME:
        raise SystemExit("the aim was missed")


if __name__ == "__main__":
    main()
