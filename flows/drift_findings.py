"""From a judged window to findings: drift, data quality and degradation, each a claim of its own kind."""

from datetime import UTC
from typing import Any

from firebreak.blocks.store import JudgedWindow
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.detectors.findings import ActorType, Evidence, Finding

# kind of finding -> (rule, prefix of the names it speaks of, runbook)
KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "drift": (
        "dataset-drift",
        "column ",
        ("Compare the columns named with a week before.", "List what was deployed in the day before the window."),
    ),
    "data-quality": (
        "dataset-quality",
        "quality ",
        ("Ask the dataset's owner what changed at its source.", "Read ten records of the window that fail the check."),
    ),
    "degradation": (
        "model-performance",
        "performance ",
        ("Read twenty wrong predictions of the window.", "Compare with the version before on the same records."),
    ),
}
KEYS = {"drift": "columns", "data-quality": "faults", "degradation": "lost"}  # where the verdict holds the numbers
SHOWN = 5


def findings_of(spec: DatasetSpec, window: JudgedWindow) -> list[Finding]:
    """What is confirmed and was seen in this window too; nothing once the window itself is clear."""
    seen = [name for name in window.confirmed if window.drifted.get(name)]
    found = []
    for kind, (rule, prefix, runbook) in KINDS.items():
        if names := [name.removeprefix(prefix) for name in seen if name.startswith(prefix)]:
            found.append(
                Finding(
                    rule=rule,
                    kind=kind,
                    title=_title(spec, kind, names),
                    severity=spec.severity,
                    workflow=spec.workflow,
                    actor_type=ActorType.DATASET,
                    actor=spec.dataset,
                    record_id=f"{spec.dataset}/{window.last_record}"[:200],
                    time=window.ended_at.astimezone(UTC),
                    evidence=tuple(_evidence(window.verdict, kind, names)),
                    owasp=("LLM04:2025",) if kind == "data-quality" else (),
                    runbook=runbook,
                    cause=str((window.cause or {}).get("cause", "unclear")),
                    detail=_detail(window, kind, names),
                )
            )
    return found


def _title(spec: DatasetSpec, kind: str, names: list[str]) -> str:
    what = {"drift": "drifted in", "data-quality": "fails its checks:", "degradation": "is predicted worse:"}[kind]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{spec.dataset} {what} {', '.join(names[:SHOWN])}{more}"


def _detail(window: JudgedWindow, kind: str, names: list[str]) -> dict[str, Any]:
    """Columns with method, score, threshold, direction and sample sizes; the cause with its reasons; the report."""
    key = KEYS[kind]
    rows = [row for row in window.verdict[key] if _name(kind, row) in names]
    about = {"from": window.began_at.isoformat(), "to": window.ended_at.isoformat(), "rows": window.rows}
    return {"window": about, key: rows, "cause": window.cause, "report": window.report, "reference": window.reference}


def _evidence(verdict: dict[str, Any], kind: str, names: list[str]) -> list[Evidence]:
    """One line for each column, check or class. Labels come from records: bounded here, escaped where shown."""
    rows = [row for row in verdict[KEYS[kind]] if _name(kind, row) in names]
    lines = [(_name(kind, row), described(row) if kind == "drift" else row["title"]) for row in rows]
    return [Evidence(field=name[:100], excerpt=str(text)[:200]) for name, text in lines[:SHOWN]]


def _name(kind: str, row: dict[str, Any]) -> str:
    """As persistence knows it, without its prefix."""
    if kind == "drift":
        return str(row["column"])
    return f"{row['check']} {row['column'] or 'rows'}" if kind == "data-quality" else str(row["label"] or "overall")


def described(row: dict[str, Any]) -> str:
    """A column's verdict in one line."""
    if row["refused"]:
        return str(row["refused"])
    how = f"{row['method']} {row['score']:.4g} (threshold {row['threshold']:g})"
    sizes = f"{row['reference_rows']} rows before, {row['current_rows']} now"
    changed = ", ".join(row["categories"]) or row["direction"] or "no direction"
    return f"{how}: {changed}; {sizes}"
