"""Workflows that run and aren't seen, for `reconcile`: calls that never reach the log, runs and logs gone silent.

Nothing is judged beyond what the log scans have read: while no scan stands at its log's end, nobody is silent.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from firebreak.blocks.events import signal_opened
from firebreak.blocks.store import Batch, Store
from firebreak.detectors.findings import Finding
from firebreak.detectors.silence import SILENT_RUNS, STOPPED_LOG, UNLOGGED_CALLS, gap_finding, silent_streak, too_long
from firebreak.detectors.usage.counts import SECONDS
from firebreak.flows.runs import Runs

CALL_TAKES = timedelta(minutes=10)  # from the guard's first look to the line in the log, the model's answer between
WRITTEN = timedelta(minutes=1)  # an ended run's lines are in the file
LOOKED_BACK = timedelta(days=2)
KNOWN = timedelta(weeks=4)
WINDOW = timedelta(seconds=SECONDS)


def tell_monitoring_gaps(store: Store, runs: Runs) -> list[str]:
    """Report what runs unseen; one incident a workflow. Looks every 30 s at most."""
    if not store.health.wake("reconcile/monitoring-gaps") or (read := store.watch.read_until()) is None:
        return []
    findings = _unlogged_calls(store, read)
    for workflow, deployments in runs.watched().items():
        findings += _silent_runs(store, runs, workflow, deployments, read) or _stopped(
            store, runs, workflow, deployments, read
        )
    if not findings:
        return []
    report = store.report(Batch(findings=findings), "reconcile")
    signal_opened(store, report)
    return [f"{one.workflow}: {one.title} ({one.evidence[0].excerpt})" for one in findings] if report.new else []


def _unlogged_calls(store: Store, read: datetime) -> list[Finding]:
    """The guard's word against the log's."""
    return [
        gap_finding(
            UNLOGGED_CALLS, run.workflow, run.called_at, "calls since then are not in the log", [run.flow_run_id]
        )
        for run in store.watch.unlogged(read - CALL_TAKES)
    ]


def _silent_runs(
    store: Store, runs: Runs, workflow: str, deployments: list[DeploymentResponse], read: datetime
) -> list[Finding]:
    """More completed runs in a row without a record than this workflow has ordinarily."""
    ids = [each.id for each in deployments]
    ended = runs.completed(ids, read - LOOKED_BACK, read - WRITTEN)
    heard = store.watch.heard(workflow, read - KNOWN)
    spoke = _spoke(store, workflow, ended, heard)
    streak = silent_streak([run.id in spoke for run in ended])
    if not streak:
        return []
    silent = ended[:streak]
    inner = runs.within([run.id for run in silent])  # the guard may stand in a flow that these call
    if inner and _spoke(store, workflow, inner, heard):
        return []
    since = max([at + WINDOW for at in heard if at < (silent[-1].start_time or read)], default=_made(deployments, read))
    what = f"{streak} completed run(s) in a row without a record"
    return [gap_finding(SILENT_RUNS, workflow, since, what, [str(run.id) for run in silent])]


def _stopped(
    store: Store, runs: Runs, workflow: str, deployments: list[DeploymentResponse], read: datetime
) -> list[Finding]:
    """A run goes on, and the workflow's log has been silent for longer than ordinary."""
    heard = store.watch.heard(workflow, read - KNOWN)
    silence = too_long(heard, WINDOW, read)
    if silence is None:
        return []
    on = [
        run for run in runs.running([d.id for d in deployments]) if run.start_time and run.start_time < read - silence
    ]
    if not on:
        return []
    what = f"no record for {int(silence.total_seconds() // 60)} min, longer than ever in four weeks"
    return [gap_finding(STOPPED_LOG, workflow, heard[-1] + WINDOW, what, [str(run.id) for run in on])]


def _spoke(store: Store, workflow: str, ended: list[FlowRun], heard: list[datetime]) -> set[UUID]:
    """The runs that logged. Where records don't name their run, one that was made meanwhile counts."""
    logged = store.watch.logged([str(run.id) for run in ended])
    spoke = {run.id for run in ended if str(run.id) in logged}
    if not spoke and heard and not store.watch.names_runs(workflow):
        spoke = {run.id for run in ended if any(_overlaps(run, at) for at in heard)}
    return spoke


def _overlaps(run: FlowRun, at: datetime) -> bool:
    began, ended = run.start_time, run.end_time
    return began is not None and began < at + WINDOW and (ended is None or at <= ended)


def _made(deployments: list[DeploymentResponse], otherwise: datetime) -> datetime:
    made = [datetime.fromtimestamp(each.created.timestamp(), UTC) for each in deployments if each.created]
    return min(made, default=otherwise)  # Prefect's own kind of datetime doesn't go into a database
