"""Several responders in processes of their own on one store: each takes whatever incident nobody holds."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from firebreak.blocks.action import Action, Probe
from firebreak.blocks.store import Incident, LeaseLost, State, Store, StoreUnavailable
from firebreak.blocks.store.ledger import Outcome, Step
from tests.flows.drills.actions import Keyed
from tests.flows.drills.drive import carry_out_plan, processes, triaged
from tests.flows.drills.targets import Addresses, ask

STEPS = 5  # of each incident's plan


class AddOne(Keyed):
    """Not idempotent: adds one to the counter of its step."""

    _block_type_slug = "add-one"

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        return Probe(done=counted(self.address, step.target) > 0)

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        ask(self.address, "POST", f"/counter/{step.target}")


def counted(address: tuple[str, int], target: str) -> int:
    return int(ask(address, "GET", f"/counter/{target}")["count"])


@dataclass(frozen=True)
class Crowd:
    """What many responders made of it: seconds from the first one's start to the last one's end, and what was wrong."""

    actions: int
    seconds: float
    shares: list[int]  # incidents that each responder finished
    again: int  # times that one had to begin anew: the store was busy for too long, or its lease was gone
    wrong: list[str]


def respond_all(url: str, addresses: Addresses, told: Connection) -> None:
    """Respond until nothing waits for it. Tells how many incidents it finished and how often it had to begin anew."""
    store, finished, again = Store(url), 0, 0
    action = AddOne(address=addresses["counter"])

    def load(name: str) -> Action:
        return action

    told.send("ready")
    told.recv()
    while True:
        try:
            waiting = store.incidents.in_states(State.TRIAGED, State.RESPONDING)
            if not waiting:
                break
            for seen in waiting:
                with store.lease(f"incident:{seen.id}", f"drill/{os.getpid()}") as lease:
                    incident = store.incidents.get(seen.id)
                    if lease is not None and incident.state in (State.TRIAGED, State.RESPONDING):
                        carry_out_plan(store, incident, load, lease)
                        finished += 1
        except (StoreUnavailable, LeaseLost):
            again += 1
    told.send((finished, again))


def crowd(url: str, addresses: Addresses, responders: int, actions: int) -> Crowd:
    """All start together on the same incidents, gravest and oldest first."""
    store = Store(url)

    def steps(incident: Incident) -> Iterator[Step]:
        for number in range(STEPS):
            yield Step(action="add-one", target=f"{incident.actor}/{number}", title=f"Add one to {number}")

    incidents = [triaged(store, steps) for _ in range(actions // STEPS)]
    seconds, told = together([(respond_all, (url, addresses))] * responders)
    wrong = []
    for number in incidents:
        rows, state = store.ledger.rows(number), store.incidents.get(number).state
        counts = [counted(addresses["counter"], row.target) for row in rows]
        if counts != [1] * STEPS or {row.state for row in rows} != {Outcome.SUCCEEDED} or state is not State.CONTAINED:
            wrong.append(f"incident {number} is {state}: {[str(row.state) for row in rows]}, counted {counts}")
    shares = [finished for finished, _ in told]
    return Crowd(len(incidents) * STEPS, seconds, shares, sum(again for _, again in told), wrong)


def together(work: list[tuple[Any, tuple[Any, ...]]]) -> tuple[float, list[Any]]:
    """Run each in a process of its own, begun at the same moment: seconds to the last one's end, what each told."""
    pipes, running = [processes.Pipe() for _ in work], []
    try:
        for (target, arguments), (_, theirs) in zip(work, pipes, strict=True):
            running.append(processes.Process(target=target, args=(*arguments, theirs), daemon=True))
            running[-1].start()
            theirs.close()  # so that the end of a process is the end of its pipe
        for ours, _ in pipes:
            assert ours.recv() == "ready"
        began = time.monotonic()
        for ours, _ in pipes:
            ours.send("go")
        told = [ours.recv() for ours, _ in pipes]
        return time.monotonic() - began, told
    finally:
        for process in running:
            process.kill()
            process.join()
