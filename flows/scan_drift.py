"""scan-drift: judge the whole windows that came in since the last scan, and open an incident where drift persists."""

from collections.abc import Callable
from typing import cast
from uuid import UUID, uuid4

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment

from firebreak.blocks.events import Event, send, signal_opened
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.store import JudgedWindow, Lease, Store
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.flows.drift_page import publish_dataset
from firebreak.flows.drift_recovery import settle_recovered
from firebreak.flows.drift_scanning import DriftStep, next_window
from firebreak.flows.incident_page import publish
from firebreak.flows.shared import load_block, open_store, run_id

INTERVAL_SECONDS = 300  # the schedule's
MOST_WINDOWS = 50  # of one run; the next one goes on from there


@task(task_run_name="judge the next window", cache_policy=NO_CACHE)
def judge_next(store: Store, dataset: MonitoredDataset, lease: Lease) -> DriftStep:
    """One window, written with what was found. Errors: see ``next_window``."""
    return next_window(store, dataset, lease)


@flow(name="scan-drift")
def scan_drift(dataset: str = "support-tickets", interval_seconds: int = INTERVAL_SECONDS) -> str:
    """Scan the dataset of the block ``monitored-dataset/<dataset>``; whole windows only, each judged once.

    ``interval_seconds`` is the schedule's: a scan that misses three of them is an incident. By hand it promises none.
    """
    logger, store, block = get_run_logger(), open_store(), load_block(MonitoredDataset, dataset)
    spec = block.definition()
    if spec.dataset != dataset:
        raise ValueError(f"block monitored-dataset/{dataset}: its spec is of {spec.dataset}; give both one name")
    beat(store, dataset, interval_seconds)
    lease_name, progress = f"scan-drift:{spec.dataset}", None
    with store.lease(lease_name, f"scan-drift/{run_id()}/{uuid4()}") as lease:
        if lease is None:
            return f"{store.holder(lease_name)} scans {spec.dataset} already"
        for last in store.drift.windows(spec.dataset, limit=1):  # a scan that was killed may have left this undone
            settle(store, spec, last)
        judged = 0
        while judged < MOST_WINDOWS:
            step = judge_next(store, block, lease)
            beat(store, dataset, interval_seconds)
            if step.put_in_force:
                continue  # its windows come now
            if step.window is None:
                break
            judged += 1
            progress = progress or show_progress(f"windows of {spec.dataset}, at most {MOST_WINDOWS} a run")
            progress(100.0 * judged / MOST_WINDOWS)
            signal_opened(store, step.report)
            publish_dataset(store, spec)
            logger.info("%s", _told(step))
            settle(store, spec, step.window)
    if progress:
        progress(100.0)
    return f"{judged} window(s) judged, {step.waiting} rows wait for their window of {spec.window.rows}"


def beat(store: Store, dataset: str, interval_seconds: int) -> None:
    """A scan that can't get on must not look alive: each step beats for itself."""
    if deployment.id is not None:
        store.health.beat(f"scan-drift/{dataset}", interval_seconds, run_id())


def settle(store: Store, spec: DatasetSpec, window: JudgedWindow) -> None:
    """End the incidents of a dataset that is as its reference again."""

    def tell(incident_id: int) -> None:
        publish(store, incident_id)
        send(Event.INCIDENT_RESOLVED, incident_id)

    for line in settle_recovered(store, spec, window, tell):
        get_run_logger().info("%s", line)


def show_progress(what: str) -> Callable[[float], None]:
    """A progress artifact of this run, in percent."""
    artifact = create_progress_artifact(0.0, description=what)
    assert isinstance(artifact, UUID), "not in an async flow"
    return lambda percent: cast(None, update_progress_artifact(artifact, percent))


def _told(step: DriftStep) -> str:
    window = step.window
    assert window is not None, "asked for judged windows only"
    drifted = [name for name, yes in window.drifted.items() if yes]
    cause = f"; cause: {window.cause['cause']}" if window.cause else ""
    return f"window to {window.ended_at:%H:%M:%S}: drifted {drifted or 'nowhere'}, confirmed {window.confirmed}{cause}"
