"""retrain: build the data set, make a candidate, judge it against the champion, and hand its promotion to `respond`."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE

from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.retraining_service import RetrainingService
from firebreak.blocks.store import Lease, Retraining, Store
from firebreak.flows.policy import load_policy
from firebreak.flows.retraining import Job, registry_of
from firebreak.flows.retraining_attempt import Means, work
from firebreak.flows.retraining_errors import RetrainingRefused
from firebreak.flows.shared import load_action, load_block, open_store, run_id

T = TypeVar("T")


def as_task(name: str, step: Callable[[], T]) -> T:
    """Carry out a step as a task of this run, so that the UI shows it."""

    @task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)
    def carry_out() -> T:
        return step()

    return carry_out()


def progress() -> Callable[[float, str], None]:
    """Say how far it is: an artifact of this run, and its log."""
    logger = get_run_logger()
    artifact = create_progress_artifact(progress=0.0, description="Retraining")
    assert isinstance(artifact, UUID)

    def tell(percent: float, what: str) -> None:
        logger.info("%s", what)
        update_progress_artifact(artifact_id=artifact, progress=percent, description=what)

    return tell


def prepare(store: Store, lease: Lease, retraining: Retraining) -> Job:
    """What the job works with.

    Errors: RetrainingRefused (the policy has no section, the dataset no registry), ValueError (no such block).
    """
    rules = load_policy(store).retraining
    if rules is None:
        raise RetrainingRefused("the policy has no retraining section; add one and run bootstrap")
    name, dataset = (rules.service or "").partition("/")[2], load_block(MonitoredDataset, retraining.dataset)
    return Job(
        store,
        lease,
        retraining,
        rules,
        dataset,
        registry_of(dataset),
        lambda: load_block(RetrainingService, name),
        progress(),
    )


@flow(name="retrain")
def retrain(incident_id: int) -> str:
    """Answer confirmed drift with a better model, if one can be made. May be started twice and killed anywhere.

    The champion is never moved here: its promotion is the incident's next plan, with its own approval.
    """
    logger, store = get_run_logger(), open_store()
    wanted = next((r for r in reversed(store.retrainings.of_incident(incident_id)) if r.open), None)
    if wanted is None:
        return f"incident {incident_id}: no retraining is asked for"
    name = f"retraining:{wanted.dataset}"
    with store.lease(name, f"retrain/{run_id()}/{uuid4()}") as lease:
        retraining = store.retrainings.get(wanted.id)
        if lease is None:
            return f"dataset {wanted.dataset}: {store.holder(name)} is at work on it"
        if not retraining.open:
            return f"retraining {retraining.id} is {retraining.state}"
        said = work(store, lease, retraining, lambda: prepare(store, lease, retraining), Means(as_task, load_action))
    logger.info("%s", said)
    return said
