"""A target in a process of its own: it counts effects, and can keep back its answer after an effect was done."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

counts: Counter[str] = Counter()
answering = threading.Event()


class Target(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"count": counts[self.path]})

    def do_POST(self) -> None:
        if self.path == "/hold":
            answering.clear()
        elif self.path == "/answer":
            answering.set()
        else:
            counts[self.path] += 1
            answering.wait(60)
        self._answer({})

    def _answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            return  # who asked was killed: that is the point

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def effects_target() -> Iterator[str]:
    """The running target's URL."""
    command = [sys.executable, "-m", "tests.end_to_end.effects"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def tell(url: str, what: str) -> None:
    httpx.post(f"{url}/{what}", timeout=5).raise_for_status()


def count(url: str, incident_id: int) -> int:
    found: int = httpx.get(f"{url}/effects/incident-{incident_id}", timeout=5).json()["count"]
    return found


if __name__ == "__main__":
    answering.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
