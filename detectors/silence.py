"""Silence where calls should be logged: of one run, of a workflow's runs one after another, of a log.

Three things are told apart, since each has its own proof. All are findings of kind ``monitoring-gap`` about a
workflow, so that one incident holds them however long they last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from firebreak.detectors.findings import ActorType, Evidence, Finding, Severity

LEAST_RUNS = 3  # silent runs in a row: fewer may just have had nothing to do
SURPLUS = 1.5  # times the longest silence that was ordinary
LEAST_SILENCE = timedelta(minutes=15)
LEAST_HISTORY = timedelta(days=7)  # so that a night and a weekend have been seen
LEAST_WINDOWS = 30
SHOWN = 5

_RUNBOOK = (
    "Look whether the scan of the log runs and reads the file that the workflow writes (`path` of the block "
    "interaction-log) within the past hour.",
    "Read the workflow's deployments of the past 7 days: is every model call still inside the guard?",
    "Ask the model's provider for the calls made with the workflow's token since the last record, and read them.",
)


@dataclass(frozen=True)
class Gap:
    """One kind of silence, as people read it."""

    rule: str
    title: str
    vote: str


UNLOGGED_CALLS = Gap("calls-not-in-log", "The guard saw a workflow's calls, and the log holds none of them", "certain")
SILENT_RUNS = Gap("runs-without-records", "A workflow runs and logs nothing", "score")
STOPPED_LOG = Gap("log-stopped", "A workflow's log has stopped while it runs", "score")


def gap_finding(gap: Gap, workflow: str, since: datetime, what: str, runs: Sequence[str]) -> Finding:
    """The claim. The same silence (``since``: the last sign of the workflow before it) is the same finding."""
    shown = ", ".join(runs[:SHOWN]) + (" …" if len(runs) > SHOWN else "")
    return Finding(
        rule=gap.rule,
        kind="monitoring-gap",
        title=gap.title,
        severity=Severity.HIGH,
        workflow=workflow,
        actor_type=ActorType.WORKFLOW,
        actor=workflow,
        record_id=f"{workflow}@{since:%Y-%m-%dT%H:%M:%S%z}",
        time=since,
        votes=(gap.vote,),
        evidence=(Evidence(field="flow_run_id", excerpt=f"{what}; runs: {shown}"[:200]),),
        atlas=("AML.T0040",),  # access to a model that nobody sees
        owasp=("LLM10:2025",),
        runbook=_RUNBOOK,
    )


def silent_streak(logged: Sequence[bool]) -> int:
    """How many of a workflow's newest runs logged nothing, where that is more than ordinary; 0 where it isn't.

    ``logged`` tells of its completed runs, newest first. Runs that had nothing to do log nothing either: the longest
    row of them among the earlier runs says what is ordinary.
    """
    rows = [(value, len(list(row))) for value, row in groupby(logged)]
    if not rows or rows[0][0]:
        return 0
    ordinary = max((length for value, length in rows[1:] if not value), default=0)
    return rows[0][1] if rows[0][1] >= max(LEAST_RUNS, int(SURPLUS * ordinary) + 1) else 0


def too_long(heard: Sequence[datetime], window: timedelta, now: datetime) -> timedelta | None:
    """How long nothing was heard, where that is longer than ordinary; None where it isn't, or nobody can tell.

    ``heard`` holds the beginnings of the windows in which there was a record, in order.
    """
    if len(heard) < LEAST_WINDOWS or heard[-1] - heard[0] < LEAST_HISTORY:
        return None
    ordinary = max(later - earlier - window for earlier, later in pairwise(heard))
    silence = now - heard[-1] - window
    return silence if silence >= max(LEAST_SILENCE, SURPLUS * ordinary) else None
