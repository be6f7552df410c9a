"""Five systems that actions act on, each in a process of its own, and what each was really made to do.

None of them recognises a request it has had before: whatever is asked twice is done twice, and counted twice.
Asking for `/deeds/<key>` gives the counts; `/idle` is answered when every request that came earlier is done with.
"""

import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]
WORK_SECONDS = 0.003  # a request takes its time before and after its deed, so that kills find it under way

state: dict[str, Any] = {}
deeds: Counter[str] = Counter()
numbers = itertools.count(1)  # of tickets
lock = threading.Lock()
working = threading.Event()  # never set: waiting for it is working


def did(what: str, key: str) -> None:
    deeds[f"{what} {key}"] += 1


def counter(method: str, key: str, query: dict[str, str], body: Any) -> Answer:
    """POST adds one, DELETE takes one away: a second one adds and takes a second time."""
    if method != "GET":
        did("do" if method == "POST" else "undo", key)
        state[key] = state.get(key, 0) + (1 if method == "POST" else -1)
    return 200, {"count": state.get(key, 0)}


def mailbox(method: str, key: str, query: dict[str, str], body: Any) -> Answer:
    """POST sends a message, which can't be taken back; GET finds messages by the reference they carry."""
    if method == "POST":
        did("do", key)
        state.setdefault(key, []).append(body["reference"])
    return 200, {"references": state.get(key, [])}


def switch(method: str, key: str, query: dict[str, str], body: Any) -> Answer:
    """On until PUT says otherwise."""
    if method == "PUT":
        did("undo" if body["on"] else "do", key)
        state[key] = body["on"]
    return 200, {"on": state.get(key, True)}


def proxy(method: str, key: str, query: dict[str, str], body: Any) -> Answer:
    """A LiteLLM proxy as far as blocking keys goes."""
    if method == "POST":
        did("do" if key == "block" else "undo", body["key"])
        state[body["key"]] = key == "block"
        return 200, {}
    return 200, {"info": {"blocked": state.get(query["key"])}}


def tickets(method: str, key: str, query: dict[str, str], body: Any) -> Answer:
    """POST opens a ticket under a number of the system's own; DELETE closes the ticket of that number."""
    if method == "POST":
        did("do", key)
        state[str(next(numbers))] = (key, body["reference"])
    elif method == "DELETE":
        did("undo", state.pop(key)[0])
    found = [number for number, (owner, reference) in state.items() if (owner, reference) == (key, query.get("ref"))]
    return 200, {"numbers": found}


def pager(method: str, key: str, query: dict[str, str], body: Any) -> Answer:
    """Pages somebody, and can't be asked whether it did; `/refuse/…` it refuses."""
    did("do", key)
    return 200, {}


def refusing(method: str, key: str, query: dict[str, str], body: Any) -> Answer:
    """Refuses everything."""
    return (404, {}) if method == "GET" else (409, {"why": "not today"})


ROLES: dict[str, Callable[[str, str, dict[str, str], Any], Answer]] = {
    role.__name__: role for role in (counter, mailbox, switch, proxy, tickets, pager, refusing)
}


class Server(ThreadingHTTPServer):
    """Numbers the requests in the order in which they came, and knows which of them are under way."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.under_way: dict[Any, int] = {}
        self.accepted = itertools.count()
        self.changed = threading.Condition()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.changed:
            self.under_way[request] = next(self.accepted)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.changed:
                del self.under_way[request]
                self.changed.notify_all()

    def wait_for_earlier(self, request: Any) -> bool:
        with self.changed:
            mine = self.under_way[request]
            return self.changed.wait_for(lambda: min(self.under_way.values()) == mine, timeout=10)


class Handler(BaseHTTPRequestHandler):
    def _handle(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        data = self.rfile.read(size)
        if len(data) < size:
            return  # who asked was killed before it had asked
        parts = urlsplit(self.path)
        _, area, *rest = parts.path.split("/")
        key = "/".join(rest)
        if area == "idle":
            self._answer(200, self.server.wait_for_earlier(self.request))  # type: ignore[attr-defined]
        elif area == "deeds":
            with lock:
                self._answer(200, {"do": deeds[f"do {key}"], "undo": deeds[f"undo {key}"]})
        else:
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            working.wait(WORK_SECONDS)
            with lock:
                answer = ROLES[sys.argv[1]](self.command, key, query, json.loads(data or b"null"))
            working.wait(WORK_SECONDS)
            self._answer(*answer)

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # who asked was killed: that is the point

    def log_message(self, format: str, *args: object) -> None:
        return


Addresses = dict[str, tuple[str, int]]  # role to host and port


@contextmanager
def serving(*roles: str) -> Iterator[Addresses]:
    """The running targets."""
    with ExitStack() as stack:
        started = {}
        for role in roles:
            argv = [sys.executable, "-m", "tests.flows.drills.targets", role]
            process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            started[role] = process
        yield {role: ("127.0.0.1", _port(process)) for role, process in started.items()}


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    return int(process.stdout.readline())


def ask(address: tuple[str, int], method: str, path: str, body: Any = None) -> Any:
    """One request; the answer's JSON. Errors: OSError (no answer), HTTPException."""
    connection = HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def wait_until_idle(addresses: Addresses) -> None:
    """Every request that was sent has been worked on to its end. Errors: AssertionError (not in 10 s).

    Outside a drill this is what the dead holder's lease waits for: it stands 10 s or more after its holder's death.
    """
    for role, address in addresses.items():
        assert ask(address, "GET", "/idle"), role


if __name__ == "__main__":
    server = Server()
    print(server.server_port, flush=True)
    server.serve_forever(0.05)
