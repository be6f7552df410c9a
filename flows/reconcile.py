"""reconcile: closes the gaps that lost signals, dead runs, expired approvals and other people's deploys leave."""

import time
from collections.abc import Callable

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client

from firebreak.blocks.store import Store
from firebreak.flows import gaps
from firebreak.flows.alert_gaps import alert
from firebreak.flows.allow_page import tell_allowed
from firebreak.flows.approval_notices import remind
from firebreak.flows.automation_gaps import watch_automation
from firebreak.flows.ending import end_expired
from firebreak.flows.monitoring_gaps import tell_monitoring_gaps
from firebreak.flows.retraining_gaps import restart_retrainings
from firebreak.flows.runs import Runs
from firebreak.flows.shared import open_store, run_id

INTERVAL_SECONDS = (
    20  # the schedule's; a run looks again and again until the next one begins, which a worker starts ahead
)
QUICK_EVERY = 3.0

Gap = Callable[[Store, Runs], list[str]]
ONCE: tuple[Gap, ...] = (
    gaps.bury_dead,
    gaps.reassert,
    gaps.tell_overdue,
    gaps.close_quiet,
    tell_allowed,
    tell_monitoring_gaps,
)
OFTEN: tuple[Gap, ...] = (
    watch_automation,
    gaps.wake_triage,
    gaps.restart_responses,
    gaps.settle_approvals,
    remind,
    gaps.finish_releases,
    end_expired,
    alert,
    restart_retrainings,
)


@task(task_run_name="close gaps", cache_policy=NO_CACHE)
def close_gaps(store: Store, closers: tuple[Gap, ...]) -> list[str]:
    """Run the closers; one that fails is said and does not keep the others from working."""
    logger, done = get_run_logger(), list[str]()
    with get_client(sync_client=True) as client:
        for closer in closers:
            try:
                done += closer(store, Runs(client))
            except Exception as error:  # noqa: BLE001 - whatever one stumbles over, the others' work is not lost
                logger.error("%s: %s: %s", closer.__name__, type(error).__name__, error)
    for line in done:
        logger.warning("%s", line)
    return done


@flow(name="reconcile")
def reconcile(run_for_seconds: float = 18) -> str:
    """Look at every incident and put right what is wrong; repeated quick looks until the next run is due."""
    store, ends = open_store(), time.monotonic() + run_for_seconds
    store.health.beat("reconcile", INTERVAL_SECONDS, run_id())
    with get_client(sync_client=True) as client:
        Runs(client).cancel_pile("reconcile", store.now, run_id())
    done = close_gaps(store, ONCE + OFTEN)
    while time.monotonic() + QUICK_EVERY < ends:
        time.sleep(QUICK_EVERY)
        done += close_gaps(store, OFTEN)
    if done:
        create_table_artifact(key="reconcile", table=[{"put right": line} for line in done])
    return f"{len(done)} gap(s) closed"
