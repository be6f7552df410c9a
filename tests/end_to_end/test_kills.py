"""Worker, flow runs and server killed at the worst moments; the work is finished by nobody's help, and done once."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from firebreak.blocks.events import signal_opened
from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.ledger import Outcome
from firebreak.deployments.processes import marked, send, wait_until
from firebreak.deployments.scenario import Scenario
from firebreak.deployments.steps import asked_of
from firebreak.deployments.system import System
from firebreak.detectors.findings import ActorType
from tests.end_to_end.effects import count, effects_target, tell
from tests.flows.drills.drive import triaged
from tests.stores import finding
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

POLICY = """
version: 1
approval: {{identity: none, expires_minutes: {minutes}}}
playbooks:
  - name: drill
    description: Adds one to a counter.
    when: {{kind: [drill]}}
    steps: [{{action: count-effect, approval: {approval}}}]
"""
LIMIT = 240.0  # how long it really took is printed


@pytest.fixture
def target(system: System) -> Iterator[str]:
    from count_effect import CountEffect

    with effects_target() as url:
        CountEffect(url=url).save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]
        yield url


@pytest.fixture
def store(system: System) -> Iterator[Store]:
    store = Store(system.store_url)
    former, tokens = store.registers.policy(), store.facts().tokens
    yield store
    assert former
    assert tokens
    store.registers.put_policy(former, list(tokens.values()))


def drill(store: Store, approval: str, minutes: float = 30) -> int:
    """An incident whose playbook counts an effect; its number."""
    store.registers.put_policy(POLICY.format(approval=approval, minutes=minutes))
    one = finding(uuid4().hex, kind="drill", actor_type=ActorType.WORKFLOW, actor=uuid4().hex, workflow="drill")
    report = store.report(Batch(findings=[one]), "test")
    signal_opened(store, report)
    return report.opened[0][0]


def kill_worker_and_runs(system: System) -> None:
    """SIGKILL to the worker and every flow run at once; server, model and supervisor live on."""
    spared = {program.pid for name, program in system.programs.items() if name != "worker"}
    send(set(marked(system.id)) - spared, signal.SIGKILL)


def stands(store: Store, incident_id: int) -> tuple[State, Outcome | None]:
    """The incident, and its one step once it has one."""
    return store.incidents.get(incident_id).state, next((row.state for row in store.ledger.rows(incident_id)), None)


def finished(store: Store, incident_id: int) -> bool:
    return stands(store, incident_id) == (State.CONTAINED, Outcome.SUCCEEDED)


def test_killed_after_the_effect_and_before_the_ledger_write(system: System, store: Store, target: str) -> None:
    tell(target, "hold")
    incident_id = drill(store, "auto")
    until(lambda: count(target, incident_id) == 1, LIMIT, "the effect")
    assert store.ledger.rows(incident_id)[0].state is Outcome.ATTEMPTED
    kill_worker_and_runs(system)
    killed = time.monotonic()
    tell(target, "answer")
    until(lambda: finished(store, incident_id), LIMIT, "the work after the kill", every=0.2)
    print(f"finished {time.monotonic() - killed:.1f} s after the kill")
    assert count(target, incident_id) == 1
    assert store.ledger.rows(incident_id)[0].probe == {"count": 1, "found": "already so"}


def test_killed_after_the_form_was_answered(system: System, store: Store, target: str) -> None:
    scenario = Scenario(system, print)
    scenario.incident_id = incident_id = drill(store, "one")
    asked = until(lambda: asked_of(scenario), LIMIT, "the request for approval", every=0.2)
    assert count(target, incident_id) == 0
    scenario.approve_through_api(asked)

    def taken_up() -> bool:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(asked.runs[-1])).state
        return state is not None and state.type in (StateType.PENDING, StateType.RUNNING)

    until(taken_up, LIMIT, "the answered run starts again", every=0.05)
    kill_worker_and_runs(system)
    killed = time.monotonic()
    until(lambda: finished(store, incident_id), LIMIT, "the work after the kill", every=0.2)
    print(f"finished {time.monotonic() - killed:.1f} s after the kill")
    assert count(target, incident_id) == 1
    decided = store.approvals.of_plan(incident_id, asked.plan_digest)
    assert decided
    assert (decided.decision, decided.decided_by) == ("approve", "the demo (unidentified)")


def test_an_expired_request_ends_normally_and_says_so(system: System, store: Store, target: str) -> None:
    incident_id = drill(store, "one", minutes=0.05)
    until(lambda: store.incidents.get(incident_id).state is State.NEEDS_PERSON, LIMIT, "the expired request", every=0.2)
    (asked,) = store.approvals.of_incident(incident_id)
    assert asked.decision == "expired"
    assert count(target, incident_id) == 0
    assert end_of(asked.runs[-1]) is StateType.COMPLETED


def test_a_refusal_is_a_normal_end(system: System, store: Store, target: str) -> None:
    scenario = Scenario(system, print)
    scenario.incident_id = incident_id = drill(store, "one")
    asked = until(lambda: asked_of(scenario), LIMIT, "the request for approval", every=0.2)
    with get_client(sync_client=True) as client:
        client.resume_flow_run(UUID(asked.runs[-1]), run_input={"decision": "refuse", "name": "Ada"})
    ended = State.NEEDS_PERSON  # nothing was done and nothing stands: it isn't contained, a person closes it
    until(lambda: store.incidents.get(incident_id).state is ended, LIMIT, "the refused plan's end", every=0.2)
    (decided,) = store.approvals.of_incident(incident_id)
    assert (decided.decision, decided.decided_by) == ("refuse", "Ada (unidentified)")
    assert [row.state for row in store.ledger.rows(incident_id)] == [Outcome.REFUSED]
    assert count(target, incident_id) == 0
    assert end_of(asked.runs[-1]) is StateType.COMPLETED


Moment = Callable[[Store, str, int], bool]
MOMENTS: dict[str, Moment] = {
    "its process has started": lambda store, target, number: True,
    "it has the incident": lambda store, target, number: "respond/" in (store.holder(f"incident:{number}") or ""),
    "it is about to act": lambda store, target, number: stands(store, number)[1] is Outcome.ATTEMPTED,
    "the effect is there": lambda store, target, number: count(target, number) == 1,
    "the ledger says so": lambda store, target, number: stands(store, number)[1] is Outcome.SUCCEEDED,
}


def left_behind(store: Store, target: str) -> int:
    """An incident that is being responded to by nobody: `reconcile` finds it; its number."""
    from count_effect import CountEffect

    number = triaged(store, lambda incident: [CountEffect(url=target).plan(store, incident, {})])
    store.incidents.move(number, State.RESPONDING, "a responder that died")
    return number


def responder(store: Store, number: int) -> str | None:
    """The run that has this incident, or was started for it."""
    kind, _, rest = (store.holder(f"incident:{number}") or "").partition("/")
    return rest.split("/")[0] if kind == "respond" else store.incidents.get(number).respond_run_id


def processes_of(system: System, run_id: str) -> list[int]:
    wanted, found = f"PREFECT__FLOW_RUN_ID={run_id}".encode(), []
    for pid in marked(system.id):
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def test_five_responders_killed_each_at_another_moment(system: System, store: Store, target: str) -> None:
    """One run takes several incidents: each kill hits whichever has the next one, at that one's moment."""
    store.registers.put_policy(POLICY.format(approval="auto", minutes=30))
    numbers = [left_behind(store, target) for _ in MOMENTS]
    for number, (when, moment) in zip(numbers, MOMENTS.items(), strict=True):
        tell(target, "answer" if when == "the ledger says so" else "hold")
        run = ""

        def killed(number: int = number, moment: Moment = moment) -> bool:
            nonlocal run
            run = responder(store, number) or run
            found = processes_of(system, run) if run and moment(store, target, number) else []
            send(found, signal.SIGKILL)
            return bool(found)

        until(killed, LIMIT, f"a responder killed when {when}", every=0.01)
        print(f"killed when {when}: {stands(store, number)[1]}, done {count(target, number)} times")
    last = time.monotonic()
    until(lambda: all(finished(store, number) for number in numbers), LIMIT, "all finished", every=0.2)
    print(f"all finished {time.monotonic() - last:.1f} s after the last kill")
    assert [count(target, number) for number in numbers] == [1] * 5


def wait_for_a_move(store: Store, numbers: list[int], seconds: float) -> None:
    """Until something happens to one of these incidents, or the time is over."""
    before = [stands(store, number) for number in numbers]
    wait_until(lambda: [stands(store, number) for number in numbers] != before, seconds)


def kill_server(system: System) -> None:
    """SIGKILL, and on when it has been started again."""
    server, restarts = system.programs["server"], system.programs["server"].restarts
    server.signal(signal.SIGKILL)
    health = f"{system.api_url}/health"

    def again() -> bool:
        with suppress(httpx.HTTPError):
            return server.restarts > restarts and httpx.get(health, timeout=2, trust_env=False).is_success
        return False

    until(again, LIMIT, "the server is there again", every=0.1)


def test_the_server_killed_five_times_in_a_row(system: System, store: Store, target: str) -> None:
    """Each time with one more incident on its way, when something has just happened to one of them, or soon after."""
    began, numbers = time.monotonic(), list[int]()
    for _ in range(5):
        numbers.append(drill(store, "auto"))
        wait_for_a_move(store, numbers, 8)
        print(f"killed at {time.monotonic() - began:.0f} s: {[stands(store, n) for n in numbers]}")
        kill_server(system)
    last = time.monotonic()
    until(lambda: all(finished(store, number) for number in numbers), LIMIT, "all finished", every=0.2)
    print(f"all finished {time.monotonic() - last:.1f} s after the last kill")
    assert [count(target, number) for number in numbers] == [1] * 5


def end_of(run_id: str) -> StateType:
    """The state a run ends in, once it has."""

    def ended() -> StateType | None:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run_id)).state
        return state.type if state and state.is_final() else None

    return until(ended, LIMIT, "the end of the run", every=0.2) or StateType.RUNNING
