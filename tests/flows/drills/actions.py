"""Actions on the drills' targets: two shipped blocks, and three as a user would write them."""

import hashlib
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from firebreak.blocks.action import Action, Probe
from firebreak.blocks.block_key import BlockKey
from firebreak.blocks.http_action import HttpAction
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step
from tests.flows.drills.targets import Addresses, ask

COUNTER = """
title: Count
actors: [token]
request: {method: POST, path: "/counter/{actor}"}
probe: {path: "/counter/{actor}", json: {count: 1}}
undo: {method: DELETE, path: "/counter/{actor}"}
undone: {path: "/counter/{actor}", json: {count: 0}}
"""
PAGER = """
title: Page
actors: [token]
request: {method: POST, path: "/page/{actor}"}
"""
REFUSING = """
title: Ask one that refuses
actors: [token]
request: {method: POST, path: "/refuse/{actor}"}
probe: {path: "/refuse/{actor}"}
"""


class Keyed(Action):
    """An action on what has the incident's actor as its key."""

    address: tuple[str, int]

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step:
        return Step(action=self.get_block_type_slug(), target=incident.actor, title=type(self).__name__)


class SendMessage(Keyed):
    """Not idempotent: a message sent twice arrives twice. Its reference is the step's digest, so a probe can tell."""

    _block_type_slug = "send-message"

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        found = ask(self.address, "GET", f"/messages/{step.target}")["references"]
        return Probe(done=step.digest(incident.id) in found, seen={"messages": len(found)})

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        ask(self.address, "POST", f"/messages/{step.target}", {"reference": step.digest(incident.id)})


class TurnOff(Keyed):
    """Idempotent, and it goes back to what it was."""

    _block_type_slug = "turn-off"

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        return Probe(done=not self._on(step))

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        return {"on": self._on(step)}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        ask(self.address, "PUT", f"/switches/{step.target}", {"on": False})

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        ask(self.address, "PUT", f"/switches/{step.target}", former)

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        return Probe(done=self._on(step) == former["on"])

    def _on(self, step: Step) -> bool:
        return bool(ask(self.address, "GET", f"/switches/{step.target}")["on"])


class OpenTicket(Keyed):
    """Not idempotent: the system gives each ticket a number; it is found by the digest of the step that opened it."""

    _block_type_slug = "open-ticket"

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        return Probe(done=bool(self._numbers(step, step.digest(incident.id))))

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        ask(self.address, "POST", f"/tickets/{step.target}", {"reference": step.digest(incident.id)})

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        for number in self._numbers(step, step.undo_of):
            ask(self.address, "DELETE", f"/tickets/{number}")

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        return Probe(done=not self._numbers(step, step.undo_of))

    def _numbers(self, step: Step, reference: str | None) -> list[str]:
        return list(ask(self.address, "GET", f"/tickets/{step.target}?ref={reference}")["numbers"])


def key_of(role: str, actor: str) -> str:
    """What the target of this role calls the actor."""
    return hashlib.sha256(actor.encode()).hexdigest() if role == "proxy" else actor


def make(role: str, addresses: Addresses, actor: str) -> Action:
    """The action on the target of this role."""
    host, port = addresses[role]
    url = f"http://{host}:{port}"
    if role == "proxy":
        return BlockKey(url=url, master_key=SecretStr("sk-drill"), keys={actor: key_of(role, actor)})
    if role in (definitions := {"counter": COUNTER, "pager": PAGER, "refusing": REFUSING}):
        return HttpAction(url=url, definition=definitions[role])
    kinds: dict[str, Callable[..., Action]] = {"mailbox": SendMessage, "switch": TurnOff, "tickets": OpenTicket}
    return kinds[role](address=addresses[role])
