"""A small world to retrain in: a store, a registry with a champion, a labelled log, and an incident that asked.

As a program it is a run that blocks at a named point, so that a test can kill it there:
``python -m tests.flows.retraining_bench FOLDER POINT``.
"""

import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.model_registry import ModelRegistry, Version
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.parquet import frame_of_parquet, parquet_of
from firebreak.blocks.promote_model import PromoteModel
from firebreak.blocks.renew_reference import RenewReference
from firebreak.blocks.retraining_rules import RetrainingRules
from firebreak.blocks.retraining_service import RetrainingService
from firebreak.blocks.store import Batch, Lease, Retraining, State, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.ledger import Outcome, Step, plan_digest
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.records import Record
from firebreak.flows.executor import execute
from firebreak.flows.planning import rows_of
from firebreak.flows.retraining import Job
from firebreak.flows.retraining_attempt import Means, work
from tests.stores import finding

DATASET, TRAINER = "tickets", "tests.flows.retraining_bench.train"
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = """
dataset: tickets
workflow: answer-tickets
source: {type: interaction-log}
window: {rows: 20}
reference: {renew: last-approved, rows: 40}
minimum_sample: 20
columns:
  router_label: {kind: prediction, method: jensenshannon, threshold: 0.1}
  feedback: {kind: target, method: jensenshannon, threshold: 0.1}
"""
OLD = {"billing": "invoice charged payment", "bug": "crash error broken"}
NEW = {"billing": "subscription renewal seats", "bug": "freeze timeout blank"}


def train(texts: list[str], labels: list[str]) -> Any:
    """A small text model; the same data gives the same model."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)).fit(texts, labels)


def train_backwards(texts: list[str], labels: list[str]) -> Any:
    """A model that has learned the labels the wrong way round."""
    other = {"billing": "bug", "bug": "billing"}
    return train(texts, [other[label] for label in labels])


def train_badly(texts: list[str], labels: list[str]) -> Any:
    raise MemoryError(f"no room for {texts[0]}\nand {texts[1]}")


def train_nothing(texts: list[str], labels: list[str]) -> Any:
    return "a model"


def train_sure(texts: list[str], labels: list[str]) -> Any:
    """A model that gives no probabilities."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    return make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, labels)


def record(n: int, label: str | None, words: dict[str, str], **more: Any) -> Record:
    """The ``n``-th call, a minute after the one before; about ``label``, and labelled so by the user."""
    about = words[label or "bug"].split()
    text = f"ticket {n}: {about[n % 3]} and {about[(n + 1) % 3]}"
    given: dict[str, Any] = {"id": f"r{n:04}", "user": f"user-{n % 7}", "token_id": "support-key", "prompt": text}
    given |= {"router_label": "bug", "response": "Thank you.", "feedback": label} | more
    return Record(time=BEGAN + timedelta(minutes=n), workflow="answer-tickets", **given)


@lru_cache(maxsize=1)
def blank_registry() -> bytes:
    """MLflow's database without a model, made once a process: it takes seconds."""
    with TemporaryDirectory() as folder:
        assert Bench(Path(folder)).registry.champion() is None
        return (Path(folder) / "mlflow.db").read_bytes()


class Bench:
    """The world in a folder. The champion knows OLD; the log holds 60 OLD records, then 140 NEW ones."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder = folder
        self.store = Store(f"sqlite:///{folder}/store.db", clock)
        self.registry = self.registry_of(ModelRegistry)
        self.log = InteractionLog(path=folder / "calls.jsonl")
        self.dataset = MonitoredDataset(spec=folder / "spec.yml", log=self.log, registry=self.registry)
        self.rules = RetrainingRules(trainer=TRAINER)
        self.service: RetrainingService | None = None
        self.tell: Callable[[float, str], None] = quiet

    def registry_of(self, kind: type[ModelRegistry]) -> ModelRegistry:
        uri = SecretStr(f"sqlite:///{self.folder}/mlflow.db")
        return kind(tracking_uri=uri, artifacts=self.folder / "models", model="router")

    def furnish(self) -> "Bench":
        (self.folder / "mlflow.db").write_bytes(blank_registry())
        (self.folder / "spec.yml").write_text(SPEC)
        labels = ["billing", "bug"]
        for n in range(200):
            self.log.append(record(n, labels[n % 2], OLD if n < 60 else NEW))
        old = [record(n, labels[n % 2], OLD) for n in range(1000, 1060)]
        model = train([r.prompt for r in old], [str(r.feedback) for r in old])
        version = self.registry.register(model, parameters={}, metrics={}, tags={}, report=None)
        self.registry.set_champion(version.number, None)
        self.store.drift.renew(DATASET, parquet_of(self.dataset.frame().head(40)), 40, "test", "the first rows")
        return self

    def ask(self) -> Retraining:
        """An incident whose plan has asked for a retraining and is at its end."""
        about: dict[str, Any] = {"kind": "drift", "actor": DATASET, "actor_type": ActorType.DATASET}
        one = finding(uuid4().hex, **about, severity=Severity.MEDIUM, token_id=None, origin=None)
        one = one.model_copy(update={"cause": "population"})
        number = self.store.report(Batch(findings=[one]), "scan-drift").opened[0][0]
        steps = [Step(action="start-retraining", target=DATASET, title="Start retraining")]
        plan: dict[str, Any] = {"playbook": "retrain", "cause": "population", "round": 0}
        plan["steps"] = [s.model_dump(mode="json") for s in steps]
        digest = plan_digest(number, steps)
        self.store.incidents.move(number, State.TRIAGED, "triage", triage={**plan, "plan_digest": digest})
        self.store.incidents.move(number, State.RESPONDING, "respond")
        self.store.incidents.move(number, State.CONTAINED, "respond")
        return self.store.retrainings.request(number, DATASET, steps[0].digest(number), {"round": 0})

    def job(self, lease: Lease, retraining: Retraining) -> Job:
        def service() -> RetrainingService:
            assert self.service
            return self.service

        return Job(self.store, lease, retraining, self.rules, self.dataset, self.registry, service, self.tell)

    def action(self, name: str) -> Any:
        if name == "promote-model":
            return Promote(registry=self.registry, block=self.dataset)
        assert name == "renew-reference"
        return Renew(block=self.dataset)

    def run(self, retraining: Retraining, **means: Any) -> str:
        """What a run of `retrain` does, without Prefect. Errors: whatever failed."""
        given = {"run": lambda _, step: step(), "load": self.action, "show": quiet, "signal": quiet} | means
        with self.store.lease(f"retraining:{retraining.dataset}", "test") as lease:
            assert lease
            retraining = self.store.retrainings.get(retraining.id)
            return work(self.store, lease, retraining, lambda: self.job(lease, retraining), Means(**given))

    def reference_ids(self) -> list[str]:
        now = self.store.drift.reference(DATASET)
        assert now
        return list(frame_of_parquet(now.parquet)["id"])


def untouched(bench: Bench) -> None:
    """What no retraining may change by itself."""
    assert bench.registry.champion_number() == "1"
    assert bench.reference_ids() == [f"r{n:04}" for n in range(40)]


def handed_over(bench: Bench, incident_id: int, version: str = "2") -> None:
    """The incident's plan is the promotion, as `respond` will check it, and the champion is still the old one."""
    incident = bench.store.incidents.get(incident_id)
    assert incident.state is State.TRIAGED
    assert incident.triage
    steps = [Step(**step) for step in incident.triage["steps"]]
    assert [(s.action, s.approval) for s in steps] == [("promote-model", "one"), ("renew-reference", "one")]
    assert steps[0].parameters == {"from": "1", "to": version}
    assert (incident.triage["playbook"], incident.triage["round"]) == ("retrain", 1)
    rows_of(bench.store, incident, steps)
    untouched(bench)


def carried_out(bench: Bench, incident_id: int, approve: bool) -> list[Outcome]:
    """What `respond` does with the plan once a person has decided."""
    store = bench.store
    incident = store.incidents.get(incident_id)
    steps = [Step(**step) for step in (incident.triage or {})["steps"]]
    digest, rows = rows_of(store, incident, steps)
    store.incidents.move(incident_id, State.RESPONDING, "respond")
    with store.lease(f"incident:{incident_id}", "respond") as lease:
        assert lease
        assert execute(store, incident, rows, bench.action, lease).waiting
        store.approvals.ask(incident_id, digest, "run", store.now + timedelta(minutes=5))
        decision = Decision.APPROVE if approve else Decision.REFUSE
        store.approvals.decide(incident_id, digest, decision, "ada", "", [r.digest for r in rows])
        execute(store, incident, rows, bench.action, lease)
    return [store.ledger.row(row.digest).state for row in rows]


class Promote(PromoteModel):
    """The real action, with the test's own blocks."""

    _block_type_slug = "promote-model-on-the-bench"

    block: MonitoredDataset

    def dataset(self, name: str) -> MonitoredDataset:
        assert name == DATASET
        return self.block


class Renew(RenewReference):
    """The real action, with the test's own blocks."""

    _block_type_slug = "renew-reference-on-the-bench"

    block: MonitoredDataset

    def dataset(self, name: str) -> MonitoredDataset:
        assert name == DATASET
        return self.block


def quiet(*_: object) -> None:
    """No page, no signal."""


def main(folder: Path, point: str) -> None:
    def here(name: str) -> None:
        if name == point:
            (folder / f"at-{point}").touch()
            signal.pause()

    class Slow(ModelRegistry):
        _block_type_slug = "slow-registry"

        def register(self, pipeline: Any, **more: Any) -> Version:
            here("before-register")
            version = super().register(pipeline, **more)
            here("after-register")
            return version

    def run(name: str, step: Callable[[], Any]) -> Any:
        here(f"before {name}")
        result = step()
        here(f"after {name}")
        return result

    def load(name: str) -> Any:
        here("planning")
        return bench.action(name)

    bench = Bench(folder)
    bench.registry = bench.registry_of(Slow)
    (retraining,) = bench.store.retrainings.open()
    bench.run(retraining, run=run, load=load, signal=lambda _: here("handed-over"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
