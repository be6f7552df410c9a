"""One step of the drift scan: read a window, judge it, name the cause, write everything in one transaction."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from firebreak.blocks.monitored_dataset import MonitoredDataset, Reading
from firebreak.blocks.parquet import frame_of_parquet, parquet_of
from firebreak.blocks.store import Batch, JudgedWindow, Lease, Reference, Renewal, Report, Store
from firebreak.detectors.drift.persistence import confirmed
from firebreak.detectors.drift.spec import MOST_WINDOWS, DatasetSpec
from firebreak.flows.drift_cause import Versioning, named_cause, versions_of
from firebreak.flows.drift_findings import findings_of
from firebreak.flows.drift_report import keep_report

if TYPE_CHECKING:
    import pandas as pd

FIRST = "the dataset's first rows: nobody has approved them yet"


@dataclass
class DriftStep:
    """What one step came to: a judged window, or a first reference put in force, or ``waiting`` rows and nothing."""

    spec: DatasetSpec
    reference: Reference | None = None
    window: JudgedWindow | None = None
    waiting: int = 0
    put_in_force: bool = False
    report: Report = field(default_factory=Report)


def source_of(spec: DatasetSpec) -> str:
    """The name under which the store keeps the position in the dataset."""
    return f"drift:{spec.dataset}"


def next_window(store: Store, dataset: MonitoredDataset, lease: Lease, look: Versioning | None = None) -> DriftStep:
    """Judge the next whole window. ``look`` says what the model's versions predict on it; None: the dataset's registry.

    Errors, with nothing written: LeaseLost, StoreUnavailable, SpecError, FrameError, LogUnreadable, RegistryError.
    """
    spec = dataset.definition()
    reference = store.drift.reference(spec.dataset)
    if reference is None:
        return _first_reference(store, dataset, spec, lease)
    reading = _read_on(store, dataset, spec, spec.window.rows, lease)
    if reading.window is None:
        return DriftStep(spec, reference, waiting=reading.waiting)
    judged = _judge(store, dataset, spec, reference, reading.window, look or versions_of(dataset.registry))
    batch = Batch(
        source=source_of(spec),
        position=reading.position,
        lease=(lease.name, lease.owner),
        windows=[judged],
        findings=findings_of(spec, judged),
    )
    return DriftStep(spec, reference, judged, report=store.report(batch, "scan-drift"))


def _read_on(store: Store, dataset: MonitoredDataset, spec: DatasetSpec, rows: int, lease: Lease) -> Reading:
    """The next rows; where they aren't there yet, what holds none of the dataset isn't read again."""
    before = store.position(source_of(spec))
    reading = dataset.read_on(before, rows)
    if reading.window is None and reading.position != before:
        batch = Batch(source=source_of(spec), position=reading.position, lease=(lease.name, lease.owner))
        store.report(batch, "scan-drift")
    return reading


def _first_reference(store: Store, dataset: MonitoredDataset, spec: DatasetSpec, lease: Lease) -> DriftStep:
    """The fixed file, or the first rows: they become version 1, and the windows begin after them."""
    from firebreak.detectors.drift.frames import read_table

    if spec.reference.path is not None:
        frame, position = read_table(spec, spec.reference.path), None
        why = f"the fixed reference {spec.reference.path.name}"
    else:
        reading = _read_on(store, dataset, spec, spec.reference.rows, lease)
        if reading.window is None:
            return DriftStep(spec, waiting=reading.waiting)
        frame, position, why = reading.window, reading.position, FIRST
    batch = Batch(
        source=source_of(spec) if position is not None else None,
        position=position,
        lease=(lease.name, lease.owner),
        reference=Renewal(spec.dataset, parquet_of(frame), len(frame), "scan-drift", why),
    )
    store.report(batch, "scan-drift")
    return DriftStep(spec, store.drift.reference(spec.dataset), put_in_force=True)


def _judge(
    store: Store,
    dataset: MonitoredDataset,
    spec: DatasetSpec,
    reference: Reference,
    window: "pd.DataFrame",
    look: Versioning,
) -> JudgedWindow:
    from firebreak.detectors.drift.performance import degraded, performance
    from firebreak.detectors.drift.quality import check_quality
    from firebreak.detectors.drift.verdicts import judge

    before = frame_of_parquet(reference.parquet)
    verdict = judge(spec, before, window)
    faults = check_quality(spec, before, window)
    then, now = (_performance(spec, frame, performance) for frame in (before, window))
    lost = degraded(then, now, spec.minimum_sample, spec.degradation) if then and now else ()
    history = [past.drifted for past in store.drift.windows(spec.dataset, reference.version, limit=MOST_WINDOWS)]
    drifted = {f"column {c.column}": c.drifted for c in verdict.columns if verdict.enough and c.refused is None}
    scored = bool(then and now) and min(then.rows, now.rows) >= spec.minimum_sample
    checked = ("quality ", "performance ") if scored else ("quality ",)
    drifted |= dict.fromkeys((name for past in history for name in past if name.startswith(checked)), False)
    drifted |= dict.fromkeys((f"quality {fault.check} {fault.column or 'rows'}" for fault in faults), True)
    drifted |= dict.fromkeys((f"performance {fault.label or 'overall'}" for fault in lost), True)
    standing = confirmed([*history, drifted], spec.persistence)
    names = sorted(name for name, stands in standing.items() if stands)
    cause = None
    if any(drifted.get(name) for name in names):
        cause = named_cause(spec, verdict, faults, before, window, look)
    return JudgedWindow(
        dataset=spec.dataset,
        reference=reference.version,
        first_record=str(window[spec.id].iloc[0]) if spec.id in window else "row 1",
        last_record=str(window[spec.id].iloc[-1]) if spec.id in window else f"row {len(window)}",
        began_at=window[spec.time].iloc[0].to_pydatetime(),
        ended_at=window[spec.time].iloc[-1].to_pydatetime(),
        rows=len(window),
        verdict={
            "columns": [column.model_dump(mode="json") for column in verdict.columns],
            "faults": [fault.model_dump(mode="json") for fault in faults],
            "lost": [fault.model_dump(mode="json") for fault in lost],
            "performance": [score.model_dump(mode="json") if score else None for score in (then, now)],
        },
        drifted=drifted,
        confirmed=names,
        cause=cause.model_dump(mode="json") if cause else None,
        report=keep_report(dataset, spec, before, window) if cause else None,
    )


def _performance(spec: DatasetSpec, frame: "pd.DataFrame", performance: Any) -> Any:
    """None where the dataset has no labels or no predictions."""
    if spec.target is None or spec.prediction is None or not {spec.target, spec.prediction} <= set(frame):
        return None
    return performance(frame[spec.target], frame[spec.prediction])
