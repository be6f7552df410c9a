"""A storm on a running system: many incidents at once, one of them stuck, a critical one last."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)

from firebreak.blocks.events import signal_opened
from firebreak.blocks.store import Batch, Incident, State, Store
from firebreak.blocks.store.automation import HALTED
from firebreak.deployments.system import System
from firebreak.detectors.findings import ActorType, Finding, Severity
from firebreak.flows.asking import TURN
from tests.end_to_end.effects import effects_target, tell
from tests.stores import finding
from tests.waiting import until

STUCK = "drill"
PLAYBOOK = {
    "name": STUCK,
    "description": "A step that never comes to an end while the storm lasts.",
    "when": {"kind": [STUCK]},
    "steps": [{"action": "count-effect"}],
}
FLOWS = ["triage", "respond", "release", "retrain"]


@dataclass(frozen=True)
class Storm:
    """What became of it. Seconds are the store's own times since the incident was opened."""

    critical: float  # until the critical one, which came last, was triaged
    answered: float  # and until what may run by itself had run, and a person was asked for the rest
    all: float  # from the first one until the drill's end
    runs: dict[str, int]  # flow runs, by flow
    states: dict[str, int]  # incidents, by state; `its turn`: triaged, and a person is asked later
    halted: int  # incidents of the breaker's own
    lost: int


@contextmanager
def stuck_target(store: Store) -> Iterator[Callable[[], None]]:
    """A service whose answers are kept back until the yielded function is called, and a playbook that asks it."""
    from count_effect import CountEffect

    former, tokens = store.registers.policy(), store.facts().tokens
    assert former
    policy = yaml.safe_load(former)
    policy["playbooks"].insert(0, PLAYBOOK)
    policy["breaker"]["spares"].append("count-effect")  # it is to get stuck, not to wait for a person
    with effects_target() as url:
        CountEffect(url=url).save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]
        tell(url, "hold")
        registered = list((tokens or {}).values())
        store.registers.put_policy(yaml.safe_dump(policy), registered)
        yield lambda: tell(url, "answer")
        store.registers.put_policy(former, registered)


def found(number: int) -> Finding:
    """One in four is only watched, one in five needs a person, the first one is stuck; the rest are held at once."""
    about: dict[str, Any] = {"actor": f"storm-{number}", "token_id": None}
    if number == 0:
        return finding("storm-0", kind=STUCK, workflow="drill", **{**about, "actor_type": ActorType.WORKFLOW})
    if number % 4 == 0:
        return finding(f"storm-{number}", kind="anomaly", severity=Severity.LOW, **about)
    return finding(f"storm-{number}", votes=("patterns",) if number % 5 == 0 else ("patterns", "score"), **about)


def storm(system: System, incidents: int, seconds: float, patience: float, to_the_end: bool = True) -> Storm:
    """So many incidents within so many seconds, the last of them critical. The system's clients are the caller's.

    Not ``to_the_end``: until each is triaged, and a person is asked about the critical one.
    """
    store = Store(system.store_url)
    began, start = store.now, time.monotonic()
    with stuck_target(store) as let_go:
        opened = []
        for number in range(incidents - 1):
            time.sleep(max(0.0, start + seconds * number / incidents - time.monotonic()))
            opened += _write(store, found(number))
        leak: dict[str, Any] = {
            "kind": "prompt-leak",
            "severity": Severity.CRITICAL,
            "actor": "storm-last",
            "token_id": None,
        }
        (last,) = _write(store, finding("storm-last", **leak))
        opened.append(last)
        until(lambda: store.incidents.get(last).state is not State.OPEN, patience, "triage of the critical one", 0.2)
        until(lambda: store.incidents.get(last).state is State.AWAITING_APPROVAL, patience, "its answer", 0.2)
        enough = _settled if to_the_end else _triaged
        until(lambda: enough(store, opened), patience, "everything else", 0.5)
        mine = [store.incidents.get(number) for number in opened]
        all_after = time.monotonic() - start
        runs = runs_since(began)
        halted = [i for i in store.incidents.in_states(*State) if i.kind == HALTED and i.opened_at >= began]
        let_go()
    return Storm(
        critical=_reached(store, mine[-1], State.TRIAGED),
        answered=_reached(store, mine[-1], State.AWAITING_APPROVAL),
        all=all_after,
        runs=runs,
        states=dict(Counter("its turn" if (i.triage or {}).get(TURN) else str(i.state) for i in mine)),
        halted=len(halted),
        lost=incidents - len(set(opened)),
    )


def _write(store: Store, one: Finding) -> list[int]:
    """As the guard does it: the finding first, then the signal."""
    report = store.report(Batch(findings=[one]), "guard")
    signal_opened(store, report)
    return [number for number, _ in report.opened]


def _triaged(store: Store, opened: list[int]) -> bool:
    return not {incident.id for incident in store.incidents.in_states(State.OPEN)} & set(opened)


def _settled(store: Store, opened: list[int]) -> bool:
    """All but the stuck one, the first, have run what runs by itself."""
    return all(_waits_for_nobody(store.incidents.get(number)) for number in opened[1:])


def _waits_for_nobody(one: Incident) -> bool:
    triage = one.triage or {}
    if one.state is State.TRIAGED:
        return not triage.get("steps") or bool(triage.get(TURN))
    return one.state in (State.AWAITING_APPROVAL, State.CONTAINED)


def _reached(store: Store, one: Incident, state: State) -> float:
    at = next(entry.at for entry in store.incidents.timeline(one.id) if entry.entry == state)
    return (at - one.opened_at).total_seconds()


def runs_since(began: datetime) -> dict[str, int]:
    """Runs of the flows that answer incidents, by flow."""
    counted = {}
    with get_client(sync_client=True) as client:
        since = FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"after_": began}))
        for name in FLOWS:
            named = FlowFilter(name=FlowFilterName(any_=[name]))
            counted[name] = len(client.read_flow_runs(flow_filter=named, flow_run_filter=since, limit=200))
    return {name: number for name, number in counted.items() if number}
