"""Worker and flow run killed together, and the Prefect server, at the worst moments; the work is finished by nobody's
help: within 60 s where one incident was at work, within 120 s where several were or the server was killed."""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from firebreak.blocks.events import signal_opened
from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.ledger import Outcome
from firebreak.deployments.processes import marked, send
from firebreak.deployments.scenario import Scenario
from firebreak.deployments.steps import asked_of
from firebreak.deployments.system import System
from firebreak.detectors.findings import ActorType
from tests.end_to_end.effects import count, effects_target, tell
from tests.stores import finding
from tests.waiting import until

pytestmark = pytest.mark.integration

POLICY = """
version: 1
approval: {{identity: none, expires_minutes: {minutes}}}
playbooks:
  - name: drill
    description: Adds one to a counter.
    when: {{kind: [drill]}}
    steps: [{{action: count-effect, approval: {approval}}}]
"""
LIMIT = 60.0


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
    return drills(store, 1, approval, minutes)[0]


def drills(store: Store, number: int, approval: str = "auto", minutes: float = 30) -> list[int]:
    """So many at once."""
    store.registers.put_policy(POLICY.format(approval=approval, minutes=minutes))
    found = [
        finding(
            uuid4().hex,
            kind="drill",
            actor_type=ActorType.WORKFLOW,
            actor=uuid4().hex,
            workflow="drill",
            token_id=None,  # a token in common would make one incident of them
        )
        for _ in range(number)
    ]
    report = store.report(Batch(findings=found), "test")
    signal_opened(store, report)
    return [incident_id for incident_id, _ in report.opened]


def kill_worker_and_runs(system: System) -> None:
    """SIGKILL to the worker and every flow run at once; server, model and supervisor live on."""
    spared = {program.pid for name, program in system.programs.items() if name != "worker"}
    send(set(marked(system.id)) - spared, signal.SIGKILL)


def finished(store: Store, incident_id: int) -> bool:
    (row,) = store.ledger.rows(incident_id)
    return row.state is Outcome.SUCCEEDED and store.incidents.get(incident_id).state is State.CONTAINED


def test_killed_after_the_effect_and_before_the_ledger_write(system: System, store: Store, target: str) -> None:
    tell(target, "hold")
    incident_id = drill(store, "auto")
    until(lambda: count(target, incident_id) == 1, 90, "the effect")
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
    asked = until(lambda: asked_of(scenario), 120, "the request for approval", every=0.2)
    assert count(target, incident_id) == 0
    scenario.approve_through_api(asked)

    def taken_up() -> bool:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(asked.runs[-1])).state
        return state is not None and state.type in (StateType.PENDING, StateType.RUNNING)

    until(taken_up, 30, "the answered run starts again", every=0.05)
    kill_worker_and_runs(system)
    killed = time.monotonic()
    until(lambda: finished(store, incident_id), LIMIT, "the work after the kill", every=0.2)
    print(f"finished {time.monotonic() - killed:.1f} s after the kill")
    assert count(target, incident_id) == 1
    decided = store.approvals.of_plan(incident_id, asked.plan_digest)
    assert decided
    assert (decided.decision, decided.decided_by) == ("approve", "the demo (unidentified)")


def test_killed_three_times_with_several_incidents_in_flight(system: System, store: Store, target: str) -> None:
    """Each time with one effect done, or more, that the ledger has only as attempted."""
    tell(target, "hold")
    incidents, seen = drills(store, 5), 0
    for _ in range(3):
        until(partial(more_than, seen, target, incidents), 90, "one more effect")
        seen = total(target, incidents)
        assert Outcome.ATTEMPTED in {row.state for each in incidents for row in store.ledger.rows(each)}
        kill_worker_and_runs(system)
    tell(target, "answer")
    until(lambda: all(finished(store, each) for each in incidents), 2 * LIMIT, "the work after the kills", every=0.2)
    assert [count(target, each) for each in incidents] == [1] * len(incidents)


def test_the_server_killed_five_times_while_incidents_are_in_flight(system: System, store: Store, target: str) -> None:
    """Before triage, with an effect done whose answer is kept back, and at three moments that fall as they may."""
    tell(target, "hold")
    incidents = drills(store, 5)
    kill_server(system)
    until(lambda: total(target, incidents), 90, "an effect")
    kill_server(system)
    tell(target, "answer")
    for _ in range(3):
        kill_server(system)
    until(lambda: all(finished(store, each) for each in incidents), 2 * LIMIT, "the work after the kills", every=0.2)
    assert [count(target, each) for each in incidents] == [1] * len(incidents)


def kill_server(system: System) -> None:
    """SIGKILL to the Prefect server alone; returns when the one that its supervisor started answers."""
    server = system.programs["server"]
    killed = server.restarts
    server.signal(signal.SIGKILL)
    until(lambda: server.restarts > killed, 40, "a new server", every=0.1)

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{system.api_url}/health", timeout=2).is_success
        return False

    until(answers, 60, "the server answers", every=0.1)


def total(target: str, incidents: list[int]) -> int:
    return sum(count(target, each) for each in incidents)


def more_than(seen: int, target: str, incidents: list[int]) -> bool:
    return total(target, incidents) > seen


def test_an_expired_request_ends_normally_and_says_so(system: System, store: Store, target: str) -> None:
    incident_id = drill(store, "one", minutes=0.05)
    until(lambda: store.incidents.get(incident_id).state is State.NEEDS_PERSON, 120, "the expired request", every=0.2)
    (asked,) = store.approvals.of_incident(incident_id)
    assert asked.decision == "expired"
    assert count(target, incident_id) == 0
    assert end_of(asked.runs[-1]) is StateType.COMPLETED


def test_a_refusal_is_a_normal_end(system: System, store: Store, target: str) -> None:
    scenario = Scenario(system, print)
    scenario.incident_id = incident_id = drill(store, "one")
    asked = until(lambda: asked_of(scenario), 120, "the request for approval", every=0.2)
    with get_client(sync_client=True) as client:
        client.resume_flow_run(UUID(asked.runs[-1]), run_input={"decision": "refuse", "name": "Ada"})
    ended = State.NEEDS_PERSON  # nothing was done and nothing stands: it isn't contained, a person closes it
    until(lambda: store.incidents.get(incident_id).state is ended, 60, "the refused plan's end", every=0.2)
    (decided,) = store.approvals.of_incident(incident_id)
    assert (decided.decision, decided.decided_by) == ("refuse", "Ada (unidentified)")
    assert [row.state for row in store.ledger.rows(incident_id)] == [Outcome.REFUSED]
    assert count(target, incident_id) == 0
    assert end_of(asked.runs[-1]) is StateType.COMPLETED


def end_of(run_id: str) -> StateType:
    """The state a run ends in, once it has."""

    def ended() -> StateType | None:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run_id)).state
        return state.type if state and state.is_final() else None

    return until(ended, 30, "the end of the run", every=0.2) or StateType.RUNNING
