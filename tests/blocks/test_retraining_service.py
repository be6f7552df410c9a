"""The retraining service block against a real server: what was agreed, and everything else it may answer."""

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from firebreak.blocks.retraining_service import Outcome, RetrainingService
from firebreak.blocks.web import WebError, WebNonsense, WebRefused, WebUnreachable
from firebreak.deployments.ports import free_port

TOKEN = "tok-very-secret-0123456789"
Answer = Callable[[BaseHTTPRequestHandler], None]
Serve = Callable[[Answer], RetrainingService]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A real server on loopback that answers as the test says; gives the block that points at it."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> RetrainingService:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answer(self)

            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                """Quiet."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return service(f"http://127.0.0.1:{servers[-1].server_port}/api/")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def service(url: str) -> RetrainingService:
    return RetrainingService(url=url, token=SecretStr(TOKEN), poll_seconds=0.01, timeout=0.5)


def send(request: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    for name, value in {"content-length": str(len(data)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(data)


def failure(block: RetrainingService) -> WebError:
    with pytest.raises(WebError) as caught:
        block.outcome("job-1")
    told = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in told
    assert caught.value.__context__ is None
    assert "check url and token in the block retraining-service" in str(caught.value)
    return caught.value


def test_a_job_is_started_with_its_key_and_followed(serve: Serve) -> None:
    seen: list[Any] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        key, token = request.headers.get("idempotency-key"), request.headers["authorization"]
        seen.append((request.command, request.path, token, key, json.loads(body) if body else None))
        if request.command == "POST":
            send(request, 202, {"job_id": "job/1 é"})
        else:
            send(request, 200, {"state": "succeeded", "version": 7})

    block = serve(answer)
    job = block.start({"dataset": "tickets"}, "firebreak-retraining-3")
    assert block.outcome(job) == Outcome(state="succeeded", version="7")
    assert seen == [
        ("POST", "/api/retrain", f"Bearer {TOKEN}", "firebreak-retraining-3", {"dataset": "tickets"}),
        ("GET", "/api/retrain/job%2F1%20%C3%A9", f"Bearer {TOKEN}", None, None),
    ]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"state": "running", "progress": 0.5}, Outcome(state="running")),
        ({"state": "failed", "reason": "out of memory"}, Outcome(state="failed", reason="out of memory")),
        ({"state": "failed"}, Outcome(state="failed")),
    ],
)
def test_how_a_job_stands(serve: Serve, body: Any, outcome: Outcome) -> None:
    assert serve(lambda request: send(request, 200, body)).outcome("1") == outcome


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, WebRefused),
        (401, WebRefused),
        (404, WebRefused),
        (408, WebUnreachable),
        (429, WebUnreachable),
        (500, WebUnreachable),
        (503, WebUnreachable),
    ],
)
def test_a_refusal_is_told_from_a_not_now_and_repeats_no_token(serve: Serve, status: int, kind: type[WebError]) -> None:
    error = failure(serve(lambda request: send(request, status, {"detail": f"bad token {TOKEN}"})))
    assert type(error) is kind
    assert f"answered {status}" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in</html>",
        b"[1]",
        b"\xff\xfe",
        b'{"state": "done"}',
        b'{"state": "succeeded"}',
        b'{"state": "succeeded", "version": "latest"}',
        b'{"state": "succeeded", "version": "../1"}',
        b'{"state": "succeeded", "version": ["7"]}',
        b" " * 1_000_001,
    ],
)
def test_nonsense_is_said_to_be_nonsense(serve: Serve, body: bytes) -> None:
    assert isinstance(failure(serve(lambda request: send(request, 200, body))), WebNonsense)


def test_no_redirect_is_followed_so_nobody_else_is_given_the_token(serve: Serve) -> None:
    asked: list[str] = []
    elsewhere = serve(lambda request: asked.append(request.path))
    error = failure(serve(lambda request: send(request, 307, {}, location=f"{elsewhere.url}/retrain/job-1")))
    assert isinstance(error, WebNonsense)
    assert "redirects (307); set url to the address itself" in str(error)
    assert asked == []


def test_a_server_that_is_down_or_hangs_is_unreachable(serve: Serve) -> None:
    assert isinstance(failure(service(f"http://127.0.0.1:{free_port()}")), WebUnreachable)
    over = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        over.wait(10)

    try:
        error = failure(serve(hang))
    finally:
        over.set()
    assert isinstance(error, WebUnreachable)
    assert "gave no answer in 0.5 s" in str(error)


@pytest.mark.parametrize(
    "url", ["", "training.example", "ftp://h", "https://", "https://h/?token=1", "file:///etc", f"http://u:{TOKEN}@h"]
)
def test_an_address_that_is_none_is_refused_when_the_block_is_made(url: str) -> None:
    with pytest.raises(ValidationError, match="write an address such as https") as caught:
        service(url)
    assert TOKEN not in str(caught.value)
