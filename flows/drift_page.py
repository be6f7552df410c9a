"""A dataset as a page: what each column scored in the newest window, and a small chart of its scores over windows."""

from collections.abc import Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact

from firebreak.blocks.store import JudgedWindow, Store
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.flows.drift_findings import described
from firebreak.flows.markdown import inline

BARS = "▁▂▃▄▅▆▇█"
WINDOWS = 24


def publish_dataset(store: Store, spec: DatasetSpec) -> None:
    """Write the dataset's artifact (key ``drift-<dataset>``): a new version each time."""
    create_markdown_artifact(
        markdown=page(store, spec), key=f"drift-{spec.dataset}", description=f"Drift of {spec.dataset}"
    )


def page(store: Store, spec: DatasetSpec) -> str:
    """The dataset as Markdown. Labels come from records: quoted and bounded."""
    windows = store.drift.windows(spec.dataset, limit=WINDOWS)
    reference = store.drift.reference(spec.dataset)
    parts = [f"# Drift of {inline(spec.dataset)}"]
    if reference is not None:
        parts.append(
            f"Compared with reference version {reference.version}: {reference.rows} rows, put in force by "
            f"{inline(reference.by)} at {reference.at:%Y-%m-%d %H:%M} UTC ({inline(reference.why, 200)})."
        )
    if not windows:
        return "\n\n".join([*parts, f"No window of {spec.window.rows} rows is full yet."])
    newest = windows[-1]
    parts += [_standing(spec, newest), _columns(windows), _quality(newest), _performance(newest), _cause(newest)]
    if newest.report:
        parts.append(f"Evidently's report: [`{newest.report}`](file://{newest.report}) on the worker's machine.")
    return "\n\n".join(part for part in parts if part)


def _standing(spec: DatasetSpec, window: JudgedWindow) -> str:
    stands = ", ".join(f"**{inline(name)}**" for name in window.confirmed) or "nothing"
    rule = spec.persistence
    return (
        f"Window of {window.rows} rows, {window.began_at:%Y-%m-%d %H:%M:%S} to {window.ended_at:%H:%M:%S} UTC. "
        f"Confirmed ({rule.k} of the last {rule.of} windows): {stands}."
    )


def _columns(windows: Sequence[JudgedWindow]) -> str:
    lines = ["| Column | Drifted | Verdict | Scores over windows |", "|---|---|---|---|"]
    for row in windows[-1].verdict["columns"]:
        scores = [_score(window, row["column"]) for window in windows]
        drifted = "**yes**" if row["drifted"] else "no"
        chart = sparkline(scores, row["threshold"], row["method"])
        lines.append(f"| {inline(row['column'])} | {drifted} | {inline(described(row), 200)} | {chart} |")
    return "\n".join(lines)


def _score(window: JudgedWindow, column: str) -> float | None:
    return next((row["score"] for row in window.verdict["columns"] if row["column"] == column), None)


def sparkline(scores: Sequence[float | None], threshold: float, method: str = "") -> str:
    """One bar a window, oldest first; the threshold is at half height. A window without a score is a dot."""
    if method in ("ks", "chisquare"):  # p-values: small is drift
        scores = [None if score is None else threshold / max(score, 1e-12) * threshold for score in scores]
    top = 2 * threshold
    return "".join("·" if s is None else BARS[min(int(s / top * len(BARS)), len(BARS) - 1)] for s in scores)


def _quality(window: JudgedWindow) -> str:
    faults = window.verdict["faults"]
    lines = [f"- {inline(fault['title'], 200)}" for fault in faults]
    return "## Data quality\n\n" + "\n".join(lines) if lines else ""


def _performance(window: JudgedWindow) -> str:
    before, now = window.verdict["performance"]
    if not before or not now:
        return ""
    lost = [f"- {inline(fault['title'], 200)}" for fault in window.verdict["lost"]]
    return "\n".join(["## Performance", "", f"Accuracy {_accuracy(now)}; in the reference {_accuracy(before)}.", *lost])


def _accuracy(score: dict[str, Any]) -> str:
    low, high = score["interval"]
    return f"{score['accuracy']:.3f} ({low:.3f} to {high:.3f}, {score['rows']} labels)"


def _cause(window: JudgedWindow) -> str:
    if not window.cause:
        return ""
    reasons = [f"- {inline(str(reason), 300)}" for reason in window.cause["reasons"]]
    return "\n".join([f"## Cause: {window.cause['cause']}", "", *reasons])
