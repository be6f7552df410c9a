"""An external service makes the candidate: one job however often a run dies, and the same gate as for our own."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from firebreak.blocks.retraining_rules import RetrainingRules
from firebreak.blocks.retraining_service import RetrainingService
from firebreak.blocks.store import Batch, RetrainingState, State
from firebreak.blocks.store.database import connect
from firebreak.flows.retraining_attempt import TRIES
from firebreak.flows.retraining_errors import RetrainingFailed
from tests.flows.retraining_bench import Bench, quiet, train, train_backwards, train_sure
from tests.stores import finding


class Killed(BaseException):
    """Stands for a SIGKILL: nothing catches it."""


class Trainer:
    """A service that trains on the records it is told, registers the model, and then says so."""

    def __init__(self, bench: Bench, learn: Callable[[list[str], list[str]], Any] = train) -> None:
        self.bench, self.learn = bench, learn
        self.jobs: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | None = None  # instead of the truth

    def start(self, key: str, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        self.jobs.setdefault(key, {"state": "running"})
        return {"job_id": key}

    def finish(self) -> None:
        """Every job ends, with a version of its own."""
        for key, request in zip(self.jobs, self.requests, strict=False):
            table = self.bench.dataset.frame()
            mine = table[table["id"].isin(request["train"])]
            model = self.learn(list(mine["text"]), list(mine["feedback"]))
            version = self.bench.registry.register(model, parameters={}, metrics={}, tags={}, report=None)
            self.jobs[key] = {"state": "succeeded", "version": version.number}

    def outcome(self, key: str) -> dict[str, Any]:
        return self.answer or self.jobs[key]


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    trainer = Trainer(Bench(tmp_path).furnish())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._send(trainer.start(str(self.headers["idempotency-key"]), body))

        def do_GET(self) -> None:
            self._send(trainer.outcome(self.path.rpartition("/")[2]))

        def _send(self, answer: dict[str, Any]) -> None:
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    trainer.bench.service = RetrainingService(url=url, token=SecretStr("t"), poll_seconds=0.01)
    trainer.bench.rules = RetrainingRules(service="retraining-service/firebreak")
    yield trainer
    server.shutdown()
    server.server_close()
    connect(f"sqlite:///{tmp_path}/store.db").dispose()


def test_a_killed_run_follows_the_same_job_and_its_version_passes_the_gate(trainer: Trainer) -> None:
    bench, asked = trainer.bench, trainer.bench.ask()

    def killed(percent: float, what: str) -> None:
        if what.startswith("job "):
            raise Killed

    bench.tell = killed
    with pytest.raises(Killed):
        bench.run(asked)
    bench.tell = quiet
    assert bench.store.retrainings.get(asked.id).detail["job"] == f"firebreak-retraining-{asked.uuid}"
    assert bench.registry.champion_number() == "1"
    trainer.finish()
    assert bench.run(asked) == f"retraining {asked.id}: version 2 is put forward for promotion"
    (request,) = trainer.requests
    assert not {*request["train"]} & {*request["held_out"]}
    assert (len(request["train"]), len(request["held_out"])) == (112, 88)
    assert "ticket" not in str({**request, "dataset": ""})  # no text leaves
    assert bench.store.incidents.get(asked.incident_id).state is State.TRIAGED


def test_its_version_is_gated_like_ours(trainer: Trainer) -> None:
    trainer.learn = train_backwards
    asked = trainer.bench.ask()
    trainer.answer = {"state": "failed", "reason": "no machine free"}
    with pytest.raises(RetrainingFailed, match="failed: no machine free"):
        trainer.bench.run(asked)
    trainer.answer = None
    trainer.finish()
    assert ": refused: recent rows (48): " in trainer.bench.run(asked)
    assert trainer.bench.registry.champion_number() == "1"
    assert trainer.bench.store.retrainings.get(asked.id).state is RetrainingState.REFUSED


@pytest.mark.parametrize(("version", "why"), [("1", "version 1, the champion"), ("99", "names version 99: ")])
def test_a_version_that_is_no_new_one_is_refused(trainer: Trainer, version: str, why: str) -> None:
    trainer.answer = {"state": "succeeded", "version": version}
    asked = trainer.bench.ask()
    assert why in trainer.bench.run(asked)
    assert trainer.bench.store.incidents.get(asked.incident_id).state is State.NEEDS_PERSON


def test_a_version_that_was_there_before_the_job_is_refused(trainer: Trainer) -> None:
    model = train(["an invoice", "a crash"], ["billing", "bug"])
    old = trainer.bench.registry.register(model, parameters={}, metrics={}, tags={}, report=None)
    trainer.answer = {"state": "succeeded", "version": old.number}
    asked = trainer.bench.ask()
    assert "names version 2, made at " in trainer.bench.run(asked)
    assert trainer.bench.store.retrainings.get(asked.id).state is RetrainingState.REFUSED


def test_a_service_that_was_faster_than_our_note_of_its_job_is_believed(trainer: Trainer) -> None:
    bench, asked = trainer.bench, trainer.bench.ask()
    start = trainer.start

    def at_once(key: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = start(key, request)
        trainer.finish()
        return answer

    trainer.start = at_once  # type: ignore[method-assign]
    assert bench.run(asked) == f"retraining {asked.id}: version 2 is put forward for promotion"


def test_a_version_without_probabilities_is_refused(trainer: Trainer) -> None:
    trainer.learn = train_sure
    bench, asked = trainer.bench, trainer.bench.ask()
    trainer.answer = {"state": "failed", "reason": "no\nmachine"}
    with pytest.raises(RetrainingFailed, match="failed: no machine"):
        bench.run(asked)
    trainer.answer = None
    trainer.finish()
    assert "model version 2: it is a Pipeline without predict_proba()" in bench.run(asked)


def test_a_job_without_an_end_fails(trainer: Trainer) -> None:
    bench, asked = trainer.bench, trainer.bench.ask()
    assert bench.service
    bench.service = bench.service.model_copy(update={"timeout_minutes": 0.0001})
    with pytest.raises(RetrainingFailed, match=r"had no end after 0\.0001 minutes"):
        bench.run(asked)


def test_a_job_that_failed_is_said_and_needs_a_person(trainer: Trainer) -> None:
    bench, asked = trainer.bench, trainer.bench.ask()
    trainer.answer = {"state": "failed", "reason": "no room on the disk"}
    for _ in range(TRIES):
        with pytest.raises(RetrainingFailed, match=r"job .* failed: no room on the disk"):
            bench.run(asked)
    assert len(trainer.jobs) == 1  # the same job, looked at again
    assert bench.store.retrainings.get(asked.id).state is RetrainingState.FAILED
    assert bench.store.incidents.get(asked.incident_id).state is State.NEEDS_PERSON
    timeline = bench.store.incidents.timeline(asked.incident_id)
    assert "no room on the disk" in str([e.detail for e in timeline][-3:])


def test_held_out_records_that_are_accused_since_void_what_was_made(trainer: Trainer) -> None:
    bench, asked = trainer.bench, trainer.bench.ask()
    trainer.answer = {"state": "failed"}
    with pytest.raises(RetrainingFailed):
        bench.run(asked)
    bench.store.report(Batch(findings=[finding("r0100", actor="user-2")]), "scan-logs")
    assert "the records that the external service was told to hold out are gone, or were accused" in bench.run(asked)
