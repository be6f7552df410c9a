"""A guard model's server for tests: OpenAI-compatible, real HTTP on loopback, deterministic."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import SecretStr

from firebreak.blocks.guard_model import GuardModel
from firebreak.blocks.model_endpoint import ModelEndpoint

YES, NO = '{"attack": true}', '{"attack": false}'


class GuardModelServer:
    """Answers what ``says`` makes of the question's last message, and keeps what it was asked."""

    def __init__(self) -> None:
        self.says: Callable[[str], str] = lambda text: YES
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                ours.asked.append(question)
                said = ours.says(question["messages"][-1]["content"])
                body = json.dumps({"model": "guard", "choices": [{"message": {"content": said}}]}).encode()
                self.send_response(ours.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def model(self, **fields: Any) -> GuardModel:
        return GuardModel(
            endpoint=ModelEndpoint(base_url=self._url, api_key=SecretStr("guard-key"), model="guard"), **fields
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def guard_model_server() -> Iterator[GuardModelServer]:
    server = GuardModelServer()
    try:
        yield server
    finally:
        server.close()
