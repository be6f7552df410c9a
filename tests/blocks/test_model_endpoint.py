"""What the model endpoint block makes of servers that are down, slow, unwilling or talk nonsense."""

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr, ValidationError

from firebreak.blocks.model_endpoint import (
    EndpointError,
    EndpointNonsense,
    EndpointRefused,
    EndpointUnreachable,
    ModelEndpoint,
)
from firebreak.deployments.ports import free_port

KEY = "sk-very-secret-0123456789"
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], ModelEndpoint]]:
    """A real server on loopback that answers as the test says; gives the block that points at it."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> ModelEndpoint:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                """Quiet."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://user:{KEY}@127.0.0.1:{servers[-1].server_port}/v1"
        return ModelEndpoint(base_url=url, api_key=SecretStr(KEY), model="m", timeout=0.5)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answering(status: int, body: bytes, kind: str = "application/json") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("content-type", kind)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def failure(endpoint: ModelEndpoint) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        endpoint.complete("system", "user")
    told = "".join(traceback.format_exception(caught.value))
    assert KEY not in told
    assert caught.value.__context__ is None
    assert "check base_url, key and model" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, EndpointRefused),
        (401, EndpointRefused),
        (404, EndpointRefused),
        (408, EndpointUnreachable),
        (429, EndpointUnreachable),
        (500, EndpointUnreachable),
        (503, EndpointUnreachable),
    ],
)
def test_a_no_is_told_from_a_not_now(
    serve: Callable[[Answer], ModelEndpoint], status: int, kind: type[EndpointError]
) -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}."}}).encode()
    error = failure(serve(answering(status, body)))
    assert type(error) is kind
    assert f"answered {status} (Incorrect API key provided: ***.)" in str(error)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>Welcome</html>", "body: Invalid JSON"),
        (b"", "body: Invalid JSON"),
        (b"[]", "body: "),
        (b'{"choices": []}', "choices: List should have at least 1 item"),
        (b'{"choices": [{"message": {"content": null}}]}', "choices.0.message.content"),
        (b"\xff\xfe\x00", "body: Invalid JSON"),
    ],
)
def test_nonsense_is_called_nonsense(serve: Callable[[Answer], ModelEndpoint], body: bytes, says: str) -> None:
    error = failure(serve(answering(200, body)))
    assert type(error) is EndpointNonsense
    assert says in str(error)


def test_an_endless_answer_is_cut(serve: Callable[[Answer], ModelEndpoint]) -> None:
    endpoint = serve(answering(200, b"x" * 10_100_000)).model_copy(update={"timeout": 10.0})
    assert type(failure(endpoint)) is EndpointNonsense


def test_a_server_that_says_nothing_is_too_slow(serve: Callable[[Answer], ModelEndpoint]) -> None:
    done = threading.Event()

    def wait(request: BaseHTTPRequestHandler) -> None:
        done.wait(10)

    error = failure(serve(wait))
    done.set()
    assert type(error) is EndpointUnreachable
    assert "gave no answer in 0.5 s" in str(error)


def test_a_server_that_drips_is_too_slow_as_a_whole(serve: Callable[[Answer], ModelEndpoint]) -> None:
    done = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-type", "application/json")
        request.end_headers()
        while not done.wait(0.05):
            try:
                request.wfile.write(b" ")
            except OSError:
                return

    error = failure(serve(drip))
    done.set()
    assert type(error) is EndpointUnreachable


def test_nobody_there(serve: Callable[[Answer], ModelEndpoint]) -> None:
    endpoint = ModelEndpoint(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key=SecretStr(KEY), model="m")
    error = failure(endpoint)
    assert type(error) is EndpointUnreachable
    assert "can't be reached (ConnectError)" in str(error)


def test_a_key_no_header_can_hold_is_not_shown(serve: Callable[[Answer], ModelEndpoint]) -> None:
    endpoint = serve(answering(200, b"")).model_copy(update={"api_key": SecretStr(f"{KEY}\n")})
    failure(endpoint)


def test_a_block_that_is_refused_does_not_show_its_key() -> None:
    with pytest.raises(ValidationError) as caught:
        ModelEndpoint.model_validate({"base_url": 7, "api_key": [KEY], "model": "m"})
    assert KEY not in str(caught.value)


def test_the_client_does_not_retry_and_is_made_once(serve: Callable[[Answer], ModelEndpoint]) -> None:
    calls: list[str] = []

    def busy(request: BaseHTTPRequestHandler) -> None:
        calls.append(request.path)
        answering(503, b"{}")(request)

    endpoint = serve(busy)
    failure(endpoint)
    assert calls == ["/v1/chat/completions"]
    assert endpoint.client() is endpoint.client()


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_an_error_names_the_status_it_had(serve: Callable[[Answer], ModelEndpoint], status: int) -> None:
    with pytest.raises(EndpointError) as failed:
        serve(answering(status, b"{}")).complete("system", "text")
    assert failed.value.status == status
    with pytest.raises(EndpointNonsense) as nonsense:
        serve(answering(200, b"{}")).complete("system", "text")
    assert nonsense.value.status is None
