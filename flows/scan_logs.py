"""scan-logs: follow the interaction log, inspect every record, write findings and containment with the position."""

import time
from uuid import uuid4

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from firebreak.blocks.events import signal_opened
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Store, StoreUnavailable
from firebreak.detectors.proof import load_proven
from firebreak.flows.scan_progress import ScanProgress
from firebreak.flows.scanning import Scanner
from firebreak.flows.shared import find_guard_model, load_block, open_store, run_id
from firebreak.flows.usage import close_windows

BEAT_SECONDS = 5
INTERVAL_SECONDS = 20  # promised to `reconcile`: silence of three of these means that the scan is dead
POLL_SECONDS = 0.25


@task(name="follow", task_run_name="follow {log.path}", cache_policy=NO_CACHE)
def follow(store: Store, log: InteractionLog, name: str, seconds: float) -> str:
    """Scan until ``seconds`` are over. Errors: LeaseLost (another run follows this log)."""
    logger, lease_name, owner = get_run_logger(), f"scan:{log.source}", f"scan-logs/{run_id()}/{uuid4()}"
    with store.lease(lease_name, owner) as lease, ScanProgress(str(log.path)) as progress:
        if lease is None:
            return f"{store.holder(lease_name)} follows this log already"
        scanner = Scanner(store, log, load_proven(own=log.rules), lease, find_guard_model())
        ends, beats, told, at_end = time.monotonic() + seconds, 0.0, time.monotonic(), 0.0
        while time.monotonic() < ends:
            if time.monotonic() >= beats:
                store.health.beat(f"scan-logs/{name}", INTERVAL_SECONDS, run_id())
                beats = time.monotonic() + BEAT_SECONDS
            try:
                step = scanner.step()
                if step.at_end and time.monotonic() >= at_end:
                    store.watch.at_end(log.source)  # whatever isn't in the store by now, wasn't logged
                    signal_opened(store, close_windows(store, scanner.rules, store.now))
                    at_end = time.monotonic() + BEAT_SECONDS
            except StoreUnavailable as error:
                logger.warning("%s; nothing is lost, the position stands", error)
                time.sleep(1)
                continue
            signal_opened(store, step.report)
            progress.tell(scanner.bytes, scanner.behind)
            for notice in step.notices:
                logger.warning("%s", notice)
            if step.report.opened or time.monotonic() - told > 60:
                logger.info("%s", scanner.progress)
                told = time.monotonic()
            if step.at_end:
                time.sleep(POLL_SECONDS)
        return scanner.progress


@flow(name="scan-logs")
def scan_logs(log: str = "firebreak", run_for_seconds: float = 3585) -> str:
    """Follow the log of the block ``interaction-log/<log>`` for an hour; the schedule starts the next run.

    It ends a little before the schedule's next minute, so that nobody waits for long.
    """
    return follow(open_store(), load_block(InteractionLog, log), log, run_for_seconds)
