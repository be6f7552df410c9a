"""One incident's plan carried out by a process that can be killed anywhere, and whether what it left behind is true.

Processes are forked from a warm one (multiprocessing's forkserver, which has imported all this), so a kill is cheap.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from firebreak.blocks.action import Action
from firebreak.blocks.block_key import BlockKey
from firebreak.blocks.http_action import HttpAction
from firebreak.blocks.store import Batch, Incident, Lease, State, Store
from firebreak.blocks.store.database import Database, utc_now
from firebreak.blocks.store.ledger import Outcome, Step, plan_digest
from firebreak.blocks.web import trusted
from firebreak.detectors.findings import ActorType
from firebreak.flows.executor import Result, execute, failed_before, take_back
from firebreak.flows.planning import planned as plan_of
from firebreak.flows.planning import rows_of, settle_incident
from tests.flows.drills.actions import OpenTicket, SendMessage, TurnOff, key_of, make
from tests.flows.drills.targets import Addresses, ask
from tests.stores import finding

ENDED = (State.CONTAINED, State.NEEDS_PERSON)
LEASE_OVER = 16.0  # seconds after which a dead holder's lease has run out

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__])
trusted()  # read by the warm process, once


@dataclass(frozen=True)
class Drill:
    """A plan by the roles of its targets, and how its steps and its incident end when all is well."""

    roles: tuple[str, ...]
    steps: tuple[Outcome, ...]
    incident: State


FIVE = ("counter", "mailbox", "switch", "proxy", "tickets")
DONE, BACK = Outcome.SUCCEEDED, Outcome.UNDONE
ALL_DONE, TAKEN_BACK, BLIND = "all done", "the last refused, the rest taken back", "one without a probe"
DRILLS = {
    ALL_DONE: Drill(FIVE, (DONE,) * 5, State.CONTAINED),
    TAKEN_BACK: Drill((*FIVE, "refusing"), (BACK, DONE, BACK, BACK, BACK, Outcome.FAILED), State.NEEDS_PERSON),
    BLIND: Drill(("counter", "pager"), (DONE, Outcome.UNKNOWN), State.NEEDS_PERSON),
}


def planned(store: Store, drill: Drill, addresses: Addresses) -> int:
    """An incident, triaged with this plan; its number."""

    def steps(incident: Incident) -> Iterator[Step]:
        for role in drill.roles:
            step = make(role, addresses, incident.actor).plan(store, incident, {})
            assert isinstance(step, Step)
            yield step.model_copy(update={"action": role, "approval": "auto"})

    return triaged(store, steps)


def triaged(store: Store, planner: Callable[[Incident], Iterable[Step]]) -> int:
    """An incident of its own actor, triaged; its number."""
    actor = f"key-{uuid4().hex}"
    one = finding(uuid4().hex, kind="drill", actor=actor, actor_type=ActorType.TOKEN, token_id=None, origin=None)
    incident = store.incidents.get(store.report(Batch(findings=[one]), "drill").opened[0][0])
    steps = [*planner(incident)]
    triage = {
        "steps": [step.model_dump(mode="json") for step in steps],
        "on_failure": {"refusing": "undo"},
        "plan_digest": plan_digest(incident.id, steps),
    }
    assert store.incidents.conclude(incident, triage)
    return incident.id


def carry_out_plan(store: Store, incident: Incident, load: Callable[[str], Action], lease: Lease) -> None:
    """What `respond` does between approval and end."""
    assert incident.triage is not None
    store.incidents.move(incident.id, State.RESPONDING, "drill")
    on_failure = incident.triage["on_failure"]
    digest, rows = rows_of(store, incident, plan_of(incident))
    failed = failed_before(store, incident.id, digest)
    result = Result(failed=failed) if failed else execute(store, incident, rows, load, lease, on_failure)
    if result.failed and on_failure.get(result.failed.action) == "undo":
        take_back(store, incident, rows, load, lease, result.failed, digest)
    settle_incident(store, incident.id, digest, result)


def drive(url: str, incident_id: int, addresses: Addresses, later: float, die_at: int | None, told: Connection) -> None:
    """Carry out one incident's plan, on a clock so many seconds later. Says when it begins, and what it passed."""
    passed = _watch(die_at)

    def now() -> datetime:
        return utc_now() + timedelta(seconds=later)

    store = Store(url, now)
    told.send("begins")
    with store.lease(f"incident:{incident_id}", f"drill/{os.getpid()}") as lease:
        incident = store.incidents.get(incident_id)
        assert lease is not None
        if incident.state not in ENDED:
            carry_out_plan(store, incident, lambda role: make(role, addresses, incident.actor), lease)
    told.send(passed())


def _watch(die_at: int | None) -> Callable[[], int]:
    """Count the boundaries: each transaction committed, each effect brought about or taken back. Die at one of them.

    Killed anywhere between two of them, a process leaves the same as killed at the first of the two.
    """
    count = 0

    def boundary() -> None:
        nonlocal count
        count += 1
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(call: Callable[..., None]) -> Callable[..., None]:
        def watching(*arguments: Any) -> None:
            call(*arguments)
            boundary()

        return watching

    plain = Database.write

    @contextmanager
    def write(self: Database) -> Iterator[sa.Connection]:
        with plain(self) as conn:
            yield conn
        boundary()

    Database.write = write  # type: ignore[method-assign]
    for kind in (HttpAction, BlockKey, SendMessage, TurnOff, OpenTicket):
        for name in ("apply", "undo"):
            setattr(kind, name, watched(getattr(kind, name)))
    return lambda: count


@dataclass(frozen=True)
class Ran:
    """How a process went: boundaries passed where it came to its end, None where it was killed; seconds of work."""

    boundaries: int | None
    seconds: float


def run(
    url: str, incident_id: int, addresses: Addresses, later: float = 0, die_at: int | None = None,
    kill_after: float | None = None,
) -> Ran:  # fmt: skip
    """Drive in a process of its own, killed at a boundary or so many seconds after it began."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=drive, args=(url, incident_id, addresses, later, die_at, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.recv() == "begins"
        began = time.monotonic()
        if kill_after is not None:
            process.join(kill_after)
            process.kill()
        process.join(60)
        seconds = time.monotonic() - began
        if process.exitcode == -signal.SIGKILL:
            return Ran(None, seconds)
        assert process.exitcode == 0, f"a drill's process ended with {process.exitcode}"
        return Ran(ours.recv(), seconds)
    finally:
        process.kill()
        process.join()
        ours.close()


def untruths(store: Store, incident_id: int, drill: Drill, addresses: Addresses) -> list[str]:
    """What the ledger and the incident say that the targets' own counts don't, and what didn't end as it should."""
    incident, wrong = store.incidents.get(incident_id), []
    if incident.state is not drill.incident:
        wrong.append(f"the incident is {incident.state}, not {drill.incident}")
    rows = [row for row in store.ledger.rows(incident_id) if row.undo_of is None]
    for role, row, expected in zip(drill.roles, rows, drill.steps, strict=True):
        did = ask(addresses[role], "GET", f"/deeds/{key_of(role, incident.actor)}")
        true = {
            Outcome.SUCCEEDED: [{"do": 1, "undo": 0}],
            Outcome.UNDONE: [{"do": 1, "undo": 1}],
            Outcome.FAILED: [{"do": 0, "undo": 0}],
            Outcome.UNKNOWN: [{"do": 0, "undo": 0}, {"do": 1, "undo": 0}],
        }
        if row.state is not expected or did not in true[row.state]:
            wrong.append(f"{role}: the ledger says {row.state} ({row.error}), the target did {did}")
    return wrong
