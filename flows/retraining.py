"""One retraining, step by step: data, candidate, gate, registration, and the promotion as the incident's new plan.

Plain functions of a ``Job``; the flow `retrain` is thin around them. A run that is killed anywhere is taken up by the
next one: what a step came to is in the retraining's detail before the next begins, a model is registered under the
retraining's uuid, and nothing here moves the champion.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

from firebreak.blocks.model_registry import RETRAINING, ModelRegistry, Version
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.parquet import frame_of_parquet
from firebreak.blocks.registry_errors import UnknownVersion
from firebreak.blocks.retraining_rules import RetrainingRules
from firebreak.blocks.retraining_service import RetrainingService
from firebreak.blocks.store import Lease, Retraining, Store
from firebreak.flows import trainers
from firebreak.flows.gate import GateVerdict, PairedScores, judge_candidate
from firebreak.flows.retraining_errors import NotYet, RetrainingRefused
from firebreak.flows.retraining_report import markdown
from firebreak.flows.training_data import Rows, TrainingData, build, rebuild

DATA = "training-data"  # the evidence that holds the record ids and hashes
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")
Run = Callable[[str, Callable[[], T]], T]


class Job:
    """One retraining under its lease, and everything it works with."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        retraining: Retraining,
        rules: RetrainingRules,
        dataset: MonitoredDataset,
        registry: ModelRegistry,
        service: Callable[[], RetrainingService],
        tell: Callable[[float, str], None] = lambda percent, what: None,
    ) -> None:
        self.store, self.lease, self.rules = store, lease, rules
        self.dataset, self.registry, self.service, self.tell = dataset, registry, service, tell
        self.id, self.incident_id = retraining.id, retraining.incident_id

    @property
    def retraining(self) -> Retraining:
        return self.store.retrainings.get(self.id)

    def still_ours(self) -> None:
        """Errors: LeaseLost, NotYet (it was withdrawn)."""
        self.lease.check()
        if not self.retraining.open:
            raise NotYet(f"retraining {self.id} is {self.retraining.state}")

    def keep(self, **detail: Any) -> None:
        """Add to the retraining's detail, while it is ours. Errors: LeaseLost, NotYet (it was withdrawn)."""
        self.still_ours()
        self.store.retrainings.set(self.id, detail=detail)


def registry_of(dataset: MonitoredDataset) -> ModelRegistry:
    """Where the dataset's model is. Errors: RetrainingRefused (its block names none)."""
    if dataset.registry is None:
        name = dataset.definition().dataset
        raise RetrainingRefused(f"dataset {name} names no model registry; set `registry` on its block")
    return dataset.registry


def make(job: Job, run: Run[Any]) -> tuple[GateVerdict, Version | None]:
    """The verdict on a candidate, and its version in the registry where it passed. ``run`` carries out a named step.

    Errors: RetrainingRefused, RetrainingFailed, LeaseLost, RegistryError, WebError, StoreUnavailable.
    """
    champion = job.registry.champion()
    if champion is None:
        raise RetrainingRefused(
            "the model registry has no champion to compare with: run `python -m firebreak.deployments.bootstrap`, "
            "or give the version in use the alias"
        )
    version, kept = _made(job), job.retraining.detail.get("verdict")
    if kept and kept["champion"] == champion.number and (version or not kept["passed"]):
        return GateVerdict(kept["passed"], tuple(kept["reasons"]), kept["numbers"]), version
    data: TrainingData = run("build the data set", lambda: gather(job, champion))
    if version is None and job.rules.service is not None:
        version = run("follow the external service", lambda: train_outside(job, data, champion))
    if version:
        model = job.registry.load_model(version)
        trainers.see_that_it_serves(model, f"model version {version.number}: it is")
    else:
        model = run("train the candidate", lambda: train_here(job, data))
    verdict: GateVerdict = run("judge the candidate", lambda: judge(job, data, champion, model))
    if verdict.passed and version is None:
        version = run("register the candidate", lambda: register(job, data, champion, model, verdict))
    return verdict, version


def gather(job: Job, champion: Version) -> TrainingData:
    """The data, as an earlier attempt cut it where that can still be had; its lineage frozen as evidence."""
    job.tell(5, "reading labelled records")
    store, spec = job.store, job.dataset.definition()
    excluded, frame = store.excluded(spec.workflow), job.dataset.frame(limit=job.rules.most_records)
    kept = store.drift.reference(spec.dataset)
    reference = frame_of_parquet(kept.parquet) if kept else None
    earlier = _lineage(store, job.retraining)
    data = rebuild(frame, reference, spec, excluded, earlier) if earlier else None
    if data is None:
        if job.retraining.detail.get("job"):
            raise RetrainingRefused(
                "the records that the external service was told to hold out are gone, or were accused since: what it "
                "made can't be judged on them"
            )
        data = build(frame, reference, spec, job.rules, excluded, trained_on(store, spec.dataset, champion))
    job.still_ours()
    body = {"dataset": spec.dataset, "retraining": job.id, **data.lineage}
    job.keep(data=store.incidents.freeze(job.incident_id, DATA, body), rows=data.lineage["rows"])
    job.tell(20, f"{len(data.train)} records to train on, {len(data.recent)} and {len(data.reference)} to test on")
    return data


def trained_on(store: Store, dataset: str, champion: Version) -> frozenset[str]:
    """The record ids that the champion was trained on; none are known of a model from elsewhere."""
    for one in store.retrainings.since(dataset, EPOCH):
        outside = "job" in one.detail and champion.number == one.detail.get("version")  # it carries no tag of ours
        if outside or champion.tags.get(RETRAINING) == one.uuid:
            lineage = _lineage(store, one)
            return frozenset(lineage["ids"]["train"]) if lineage else frozenset()
    return frozenset()


def _lineage(store: Store, retraining: Retraining) -> dict[str, Any] | None:
    exhibits = store.incidents.evidence(retraining.incident_id)
    sha256 = retraining.detail.get("data")
    return next((e.body for e in exhibits if e.name == DATA and e.sha256 == sha256), None)


def train_here(job: Job, data: TrainingData) -> Any:
    """The candidate, by the policy's trainer, in this process."""
    assert job.rules.trainer is not None, "the policy names exactly one maker"
    job.tell(25, f"{job.rules.trainer} trains on {len(data.train)} records")
    return trainers.train(job.rules.trainer, data.train)


def train_outside(job: Job, data: TrainingData, champion: Version) -> Version:
    """The version that the external service made. Its job's id is kept before anything waits for it.

    Errors: RetrainingFailed, RetrainingRefused (it names no new version of ours), WebError.
    """
    service = job.service()
    if "job_started" not in job.retraining.detail:  # before the service knows: what it makes is newer
        job.keep(job_started=job.store.now.isoformat())
    job_id = job.retraining.detail.get("job")
    if job_id is None:
        request = {
            "retraining": job.id,
            "incident": job.incident_id,
            "dataset": job.retraining.dataset,
            "model": job.registry.model,
            "champion": champion.number,
            "rows": data.lineage["rows"],
            "sha256": data.lineage["sha256"],
            "train": list(data.train.ids),
            "held_out": [*data.recent.ids, *data.reference.ids],
        }
        job_id = service.start(request, key=f"firebreak-retraining-{job.retraining.uuid}")
        job.keep(job=job_id)
    started = datetime.fromisoformat(job.retraining.detail["job_started"])
    number = trainers.follow(service, job_id, started, lambda: job.store.now, lambda said: _waiting(job, said))
    try:
        version = job.registry.get(number)
    except UnknownVersion as error:
        raise RetrainingRefused(
            f"the service's job {job_id} names version {number}: {error}; mend the service"
        ) from error
    if version.number == champion.number:
        raise RetrainingRefused(f"the service's job {job_id} names version {number}, the champion; mend the service")
    if version.created_at < started.replace(microsecond=started.microsecond // 1000 * 1000):  # MLflow's are whole ms
        raise RetrainingRefused(
            f"the service's job {job_id} names version {number}, made at {version.created_at:%Y-%m-%d %H:%M:%S} UTC, "
            f"before the job was asked for ({started:%H:%M:%S}): mend the service, or the registry's clock"
        )
    job.keep(version=version.number)
    return version


def judge(job: Job, data: TrainingData, champion: Version, model: Any) -> GateVerdict:
    """Both models on both tests, and the gate; the verdict is kept before anything is done about it."""
    job.tell(70, "comparing the candidate with the champion")
    former = job.registry.load_model(champion)

    def paired(rows: Rows) -> PairedScores:
        return PairedScores(rows.labels, trainers.predictions(former, rows), trainers.predictions(model, rows))

    verdict = judge_candidate(job.rules.gate, paired(data.recent), paired(data.reference))
    job.keep(verdict={"champion": champion.number, **asdict(verdict), "reasons": list(verdict.reasons)})
    return verdict


def register(job: Job, data: TrainingData, champion: Version, model: Any, verdict: GateVerdict) -> Version:
    """The candidate in the registry, once, under the retraining's uuid."""
    job.tell(85, "registering the candidate")
    job.still_ours()
    data_sha256 = job.retraining.detail["data"]
    metrics = {
        f"{who}_accuracy_{test}": float(numbers[who]["accuracy"])
        for test, numbers in verdict.numbers.items()
        for who in ("candidate", "champion")
    }
    version = job.registry.register(
        model,
        parameters={"trainer": job.rules.trainer or "", "champion": champion.number, "data_sha256": data_sha256},
        metrics=metrics,
        tags={
            RETRAINING: job.retraining.uuid,
            "firebreak.incident": str(job.incident_id),
            "firebreak.data_sha256": data_sha256,
        },
        report=markdown(job.retraining, data, champion.number, verdict),
    )
    job.keep(version=version.number)
    return version


def _made(job: Job) -> Version | None:
    """The version that an earlier attempt registered, or that the service named."""
    if number := job.retraining.detail.get("version"):
        return job.registry.get(number)
    return job.registry.find(RETRAINING, job.retraining.uuid)


def _waiting(job: Job, said: str) -> None:
    job.still_ours()
    job.tell(40, said)
