"""The HTTP action against a real server: what is sent, what is believed, and what hostile names can't do."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from firebreak.blocks.action import ActionError, LeftOut
from firebreak.blocks.http_action import HttpAction
from firebreak.blocks.store import Batch, Incident, Store
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.blocks.web import WebUnreachable
from firebreak.flows.executor import execute
from tests.stores import finding
from tests.web_server import Asked, Reply, WebServer, web_server

SECRET = "edge-secret-0123456789"
DEFINITION = """
title: Block the user at the edge
actors: [user]
approval: auto
request: {method: PUT, path: "/blocklist/{actor}", json: {reason: "{kind}", incident: "{incident}"}}
probe: {path: "/blocklist/{actor}", json: {entry.blocked: true}}
undo: {method: DELETE, path: "/blocklist/{actor}"}
undone: {path: "/blocklist/{actor}", status: [404]}
"""


class Edge:
    """A block list behind HTTP."""

    def __init__(self) -> None:
        self.blocked: dict[str, Any] = {}
        self.broken: Reply | None = None

    def __call__(self, asked: Asked) -> Reply:
        if self.broken:
            return self.broken
        if asked.method == "PUT":
            self.blocked[asked.path] = asked.body
        elif asked.method == "DELETE":
            self.blocked.pop(asked.path, None)
        elif asked.method == "GET" and asked.path not in self.blocked:
            return 404, {"detail": "no such entry"}
        return 200, {"entry": {"blocked": asked.path in self.blocked}}


@pytest.fixture
def edge() -> Edge:
    return Edge()


@pytest.fixture
def server(edge: Edge) -> Iterator[WebServer]:
    with web_server(edge) as server:
        yield server


def action(server: WebServer, definition: str = DEFINITION) -> HttpAction:
    return HttpAction(url=server.url, definition=definition, secret=SecretStr(SECRET), timeout=2)


def opened(store: Store, actor: str = "mallory") -> Incident:
    return store.incidents.get(store.report(Batch(findings=[finding("r1", actor=actor)]), "guard").opened[0][0])


def carry_out(store: Store, incident: Incident, block: HttpAction, undo: bool = False) -> tuple[Outcome, str | None]:
    step = block.plan(store, incident, {})
    assert isinstance(step, Step)
    with store.lease(f"incident:{incident.id}", "me") as lease:
        assert lease
        rows = store.ledger.enter(incident.id, [step])
        if undo:
            undoing = step.model_copy(update={"undo_of": rows[0].digest})
            rows = store.ledger.enter(incident.id, [undoing])
        execute(store, incident, rows, lambda _: block, lease)
        row = store.ledger.row(rows[0].digest)
    return row.state, row.error


def test_done_seen_and_undone(store: Store, server: WebServer, edge: Edge) -> None:
    incident, block = opened(store), action(server)
    assert carry_out(store, incident, block) == (Outcome.SUCCEEDED, None)
    assert edge.blocked == {"/blocklist/mallory": {"reason": "prompt-injection", "incident": incident.id}}
    put = next(asked for asked in server.asked if asked.method == "PUT")
    assert put.headers["authorization"] == f"Bearer {SECRET}"
    assert len(put.headers["idempotency-key"]) == 64
    assert carry_out(store, incident, block, undo=True) == (Outcome.SUCCEEDED, None)
    assert edge.blocked == {}


def test_what_stands_already_is_not_sent_again(store: Store, server: WebServer, edge: Edge) -> None:
    incident, block = opened(store), action(server)
    edge.blocked["/blocklist/mallory"] = {}
    assert carry_out(store, incident, block)[0] is Outcome.SUCCEEDED
    assert [asked.method for asked in server.asked] == ["GET"]


def test_without_a_probe_the_outcome_is_unknown(store: Store, server: WebServer, edge: Edge) -> None:
    told = "{title: Tell the edge, actors: [user], approval: auto, request: {path: /told}}"
    assert carry_out(store, opened(store), action(server, told))[0] is Outcome.UNKNOWN


def test_a_refusal_without_a_probe_is_a_failure_and_a_time_out_is_not_known(
    store: Store, server: WebServer, edge: Edge
) -> None:
    told = "{title: Tell the edge, actors: [user], approval: auto, request: {path: /told}}"
    edge.broken = (403, {"detail": f"the key {SECRET} may not"})
    state, error = carry_out(store, opened(store), action(server, told))
    assert state is Outcome.FAILED
    assert error is not None
    assert "answered 403" in error
    assert SECRET not in error
    edge.broken = (503, {})
    state, error = carry_out(store, opened(store, "trudy"), action(server, told))
    assert (state, (error or "")[:14]) == (Outcome.UNKNOWN, WebUnreachable.__name__)


def test_others_are_left_out(store: Store, server: WebServer) -> None:
    incident = opened(store)
    token = incident.model_copy(update={"actor_type": "token"})
    assert isinstance(action(server).plan(store, token, {}), LeftOut)


def test_a_block_that_points_elsewhere_than_approved_sends_nothing(store: Store, server: WebServer, edge: Edge) -> None:
    incident, block = opened(store), action(server)
    step = block.plan(store, incident, {})
    assert isinstance(step, Step)
    with web_server(edge) as elsewhere:
        moved = HttpAction(url=elsewhere.url, definition=DEFINITION, secret=SecretStr(SECRET))
        with pytest.raises(ActionError, match="no longer the planned one"):
            moved.apply(store, incident, step)
        assert elsewhere.asked == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actor=st.text(min_size=1, max_size=40).filter(lambda name: name not in (".", "..") and "\0" not in name))
def test_a_hostile_name_stays_one_segment(store: Store, server: WebServer, edge: Edge, actor: str) -> None:
    store.report(Batch(findings=[finding("r1")]), "guard")
    incident = Incident.model_validate(
        {**store.incidents.get(1).model_dump(), "actor": actor.encode("utf-8", "replace").decode()}
    )
    block = action(server)
    step = block.plan(store, incident, {})
    assert isinstance(step, Step)
    block.apply(store, incident, step)
    assert server.asked[-1].path.count("/") == 2
    assert server.asked[-1].params == []
    assert block.verify(store, incident, step).done is True
    assert json.dumps(step.parameters)


@pytest.mark.parametrize("actor", [".", "..", "a\0b"])
def test_a_name_that_can_be_no_segment_is_refused(store: Store, server: WebServer, actor: str) -> None:
    incident = opened(store).model_copy(update={"actor": actor})
    left = action(server).plan(store, incident, {})
    assert isinstance(left, LeftOut)
    assert "can't be a segment" in left.why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.replace('/blocklist/{actor}"}', '/blocklist/x-{actor}"}'), "the whole of a segment"),
        (lambda t: t.replace('"{kind}"', '"about {kind}"'), "the whole of a value"),
        (lambda t: t.replace('"{kind}"', '"{secret}"'), "no such placeholder"),
        (lambda t: t.replace("method: PUT", "method: TRACE"), "request.method"),
        (lambda t: t.replace('path: "/blocklist', 'path: "//evil.example/blocklist?x=1'), "request.path"),
        (lambda t: t + "retries: 3\n", "retries"),
        (lambda t: "- nothing", "whole"),
        (lambda t: "title: [", "not valid YAML"),
    ],
)
def test_a_wrong_definition_is_refused_by_its_key(change: Callable[[str], str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        HttpAction(url="http://127.0.0.1:1", definition=change(DEFINITION))
