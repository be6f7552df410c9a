"""scan-archive: scan a finished log once, a file, an archive (.gz, .zst) or an object (s3://…), and end."""

from uuid import uuid4

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from firebreak.blocks.events import signal_opened
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.log_archive import LogArchive
from firebreak.blocks.store import Store
from firebreak.detectors.proof import load_proven
from firebreak.flows.scan_progress import ScanProgress
from firebreak.flows.scanning import Scanner
from firebreak.flows.shared import find_guard_model, load_block, open_store, run_id


@task(name="read", task_run_name="read {archive.url}", cache_policy=NO_CACHE)
def read(store: Store, archive: LogArchive) -> str:
    """Scan from where the last run stopped to the end. Errors: LeaseLost, LogUnreadable, StoreUnavailable."""
    logger, lease_name, owner = get_run_logger(), f"scan:{archive.source}", f"scan-archive/{run_id()}/{uuid4()}"
    with store.lease(lease_name, owner) as lease, ScanProgress(archive.url) as progress:
        if lease is None:
            return f"{store.holder(lease_name)} reads this archive already"
        scanner = Scanner(store, archive, load_proven(own=archive.log.rules), lease, find_guard_model())
        try:
            while True:
                step = scanner.step()
                signal_opened(store, step.report)
                progress.tell(scanner.bytes, scanner.behind)
                for notice in step.notices:
                    logger.warning("%s", notice)
                if step.at_end:
                    return scanner.progress
        finally:
            archive.close()


@flow(name="scan-archive", retries=3, retry_delay_seconds=10)
def scan_archive(url: str, log: str = "firebreak") -> str:
    """Scan the archive at ``url`` with the rules and the format of the block ``interaction-log/<log>``.

    Findings are keyed by record: what the live scan has found already is not found again.
    """
    return read(open_store(), LogArchive(url, load_block(InteractionLog, log)))
