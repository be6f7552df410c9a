"""A scheduled flow that has gone quiet, as a finding about Firebreak itself."""

from firebreak.blocks.store import Batch, Overdue, Store
from firebreak.blocks.store.reporting import Report
from firebreak.detectors.findings import ActorType, Evidence, Finding, Severity


def overdue_finding(overdue: Overdue) -> Finding:
    """One finding per flow and silence: the same silence seen again is the same finding."""
    last = f"{overdue.last_at:%Y-%m-%dT%H:%M:%S%z}"
    return Finding(
        rule="scheduled-flow-overdue",
        kind="firebreak-overdue",
        title=f"Firebreak's {overdue.name} has missed three of its intervals",
        severity=Severity.HIGH,
        workflow="firebreak",
        actor_type=ActorType.WORKFLOW,
        actor=overdue.name,
        record_id=f"{overdue.name}@{last}",
        time=overdue.last_at,
        evidence=(Evidence(field="heartbeat", excerpt=f"last {last}, promised every {overdue.interval_seconds} s"),),
        runbook=(
            "Look at the work pool's workers in the Prefect UI: is one online now?",
            "Open the flow's last run of the past hour and read its state and its logs.",
            "Check that the deployment's schedule is active, and turn it on.",
        ),
    )


def report_overdue(store: Store, seen_by: str) -> tuple[list[Overdue], Report]:
    """Look for silent flows and report them. Errors: StoreUnavailable."""
    overdue = store.overdue()
    findings = [overdue_finding(one) for one in overdue]
    return overdue, store.report(Batch(findings=findings), seen_by) if findings else Report()
