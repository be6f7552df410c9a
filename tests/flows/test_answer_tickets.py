"""answer-tickets on a real Prefect server, against the simulated model in its own process."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from firebreak.blocks.guard import WorkflowStopped
from firebreak.blocks.model_endpoint import EndpointRefused, ModelEndpoint
from firebreak.blocks.store import Batch, State
from firebreak.deployments.ports import free_port
from firebreak.deployments.system import System
from firebreak.flows.answer_tickets import answer_tickets
from firebreak.flows.tickets import Ticket
from tests.deployments.simulated import simulated_model
from tests.flows.support import ATTACK, Support
from tests.stores import finding

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulated_model(tmp_path_factory.mktemp("model")) as url:
        yield url


@pytest.fixture
def support(prefect_server: System, tmp_path: Path, model_url: str) -> Iterator[Support]:
    yield Support(tmp_path, model_url)
    APILogWorker.drain_all()  # while the server is there: at exit Prefect would try for a minute
    EventsWorker.drain_all()


def test_tickets_are_routed_answered_and_logged(support: Support) -> None:
    tickets = [
        Ticket(user="ada", text="I was charged twice for my invoice", feedback="billing"),
        Ticket(user="grace", text="How do I export this?", document="Quarterly report"),
    ]
    results = answer_tickets(tickets)
    assert [(r.user, r.label, r.refused) for r in results] == [("ada", "billing", None), ("grace", "how-to", None)]
    assert "refund takes five days" in str(results[0].answer)
    first, second = support.records()
    assert (first.workflow, first.user, first.token_id) == ("answer-tickets", "ada", "support-key")
    assert (first.model, first.model_version) == ("simulated-support-1", "simulated-support-1")
    assert (first.router_label, first.router_confidence) == ("billing", results[0].confidence)
    assert (first.router_version, first.feedback, second.feedback) == ("built-in", "billing", None)
    assert first.prompt_tokens
    assert first.response == results[0].answer
    assert [part.origin for part in second.parts] == ["user", "document"]
    with get_client(sync_client=True) as client:
        assert {client.read_flow_run(record.flow_run_id).state_name for record in (first, second)} == {"Completed"}  # type: ignore[arg-type]


def test_an_attacker_is_refused_and_the_others_get_their_answers(support: Support) -> None:
    tickets = [
        Ticket(user="mallory", text=ATTACK),
        Ticket(user="ada", text="Where can I find my invoice?"),
        Ticket(user="mallory", text="Hello again"),
    ]
    first, other, again = answer_tickets(tickets)
    assert first.answer is None
    assert "the answer is withheld" in str(first.refused)  # the gullible model gave its canary away
    assert other.answer
    assert "user 'mallory' is quarantined" in str(again.refused)
    assert len(support.records()) == 3  # a refusal is not tried again
    assert {incident.actor for incident in support.store.incidents.in_states(*State)} == {"mallory"}


def test_a_document_that_attacks_is_withheld_but_its_reader_is_not_locked_out(support: Support) -> None:
    tickets = [
        Ticket(user="ada", text="What does this file say?", document=ATTACK),
        Ticket(user="ada", text="Then where is my invoice?"),
    ]
    first, second = answer_tickets(tickets)
    assert "the answer is withheld" in str(first.refused)
    assert [hold for hold in support.store.holds.all() if hold.kind == "quarantine-user"] == []
    assert second.answer


def test_a_stopped_workflow_fails_its_run_with_the_reason(support: Support) -> None:
    number = support.store.report(Batch(findings=[finding("r", actor="eve")]), "scan-logs").opened[0][0]
    support.store.holds.add("stop-workflow", "answer-tickets", "answer-tickets", number, "approved")
    state = answer_tickets([Ticket(user="ada", text="Hello")], return_state=True)
    assert state.type is StateType.FAILED
    assert "workflow 'answer-tickets' is stopped" in str(state.message)
    with pytest.raises(WorkflowStopped):
        state.result()
    assert [str(record.error)[:9] for record in support.records()] == ["refused: "]


def test_an_endpoint_that_comes_back_is_tried_again(support: Support, tmp_path: Path) -> None:
    answers = [503, 200]

    class Recovering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"model": "m", "choices": [{"message": {"content": "Here."}}]}'
            self.send_response(answers.pop(0))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Recovering) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        Support(tmp_path, f"http://127.0.0.1:{server.server_port}/v1")
        (result,) = answer_tickets([Ticket(user="ada", text="Hello")])
        server.shutdown()
    assert (result.answer, answers) == ("Here.", [])
    failed, answered = support.records()
    assert str(failed.error).startswith("EndpointUnreachable: model endpoint http://127.0.0.1")
    assert answered.error is None


def test_an_endpoint_that_says_no_fails_the_run_at_once(support: Support) -> None:
    endpoint = ModelEndpoint.load("firebreak")
    assert isinstance(endpoint, ModelEndpoint)
    endpoint.model_copy(update={"model": "no-such-model"}).save("firebreak", overwrite=True)
    state = answer_tickets([Ticket(user="ada", text="Hello")], return_state=True)
    with pytest.raises(EndpointRefused, match=r"404 .*no-such-model"):
        state.result()
    assert len(support.records()) == 1


def test_an_endpoint_that_stays_away_fails_the_run_clearly(
    support: Support, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firebreak.flows import answer_tickets as module

    monkeypatch.setattr(module, "ask_model", module.ask_model.with_options(retry_delay_seconds=0))
    Support(tmp_path, f"http://127.0.0.1:{free_port()}/v1")
    state = answer_tickets([Ticket(user="ada", text="Hello")], return_state=True)
    assert state.type is StateType.FAILED
    assert "EndpointUnreachable: model endpoint http://127.0.0.1" in str(state.message)
    assert len(support.records()) == 4
