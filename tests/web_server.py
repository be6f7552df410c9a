"""A real HTTP server on loopback that answers as a test says, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: ``body`` is JSON where it was JSON, a form's fields where it was a form."""

    method: str
    path: str
    params: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


Reply = tuple[int, Any]  # status and what goes out as JSON; bytes go out as they are


@dataclass
class WebServer:
    """``url`` has no trailing slash."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def web_server(answer: Callable[[Asked], Reply]) -> Iterator[WebServer]:
    """Runs until the end of the block."""
    told = WebServer()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body: Any = None
            if data:
                form = "form" in headers.get("content-type", "")
                body = dict(parse_qsl(data.decode())) if form else json.loads(data)
            asked = Asked(self.command, parts.path, parse_qsl(parts.query), headers, body)
            told.asked.append(asked)
            status, reply = answer(asked)
            out = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
