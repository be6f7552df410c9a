"""`reconcile`'s gaps against a real Prefect server: runs in every state a run can be left in."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events import emit_event
from prefect.input import keyset_from_paused_state
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, Suspended

from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.store import Batch, Store
from firebreak.blocks.store import State as IncidentState
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.ledger import Outcome, Step, plan_digest
from firebreak.deployments.system import System
from firebreak.detectors.findings import Severity
from firebreak.flows import gaps
from firebreak.flows.approval import key
from firebreak.flows.runs import OURS, Runs
from tests.stores import Clock, finding
from tests.waiting import until

pytestmark = pytest.mark.integration
STEPS = [Step(action="quarantine-actor", target="mallory", title="Hold", approval="one")]


@pytest.fixture(scope="module")
def deployments(running_server: System) -> dict[str, UUID]:
    """Firebreak's deployments by name, without a worker: their runs stay where a test puts them."""
    return {}


@pytest.fixture
def client(prefect_server: System, deployments: dict[str, UUID]) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        if not deployments:
            for flow in OURS:
                flow_id = client.create_flow_from_name(flow)
                deployments[flow] = client.create_deployment(flow_id, "firebreak")
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    clock = Clock()
    store = Store(f"sqlite:///{tmp_path}/store.db", clock)
    clock.now = datetime.now(UTC)  # Prefect's own times must fit
    return store


@pytest.fixture
def clock(store: Store) -> Clock:
    clock = store._db.clock
    assert isinstance(clock, Clock)
    return clock


@pytest.fixture
def runs(client: SyncPrefectClient) -> Runs:
    return Runs(client)


def started(client: SyncPrefectClient, deployments: dict[str, UUID], flow: str, since: set[UUID]) -> list[FlowRun]:
    return [r for r in client.read_flow_runs() if r.deployment_id == deployments[flow] and r.id not in since]


def known(client: SyncPrefectClient) -> set[UUID]:
    return {run.id for run in client.read_flow_runs()}


def make_run(client: SyncPrefectClient, deployments: dict[str, UUID], state: State, flow: str = "respond") -> FlowRun:
    run = client.create_flow_run_from_deployment(deployments[flow], parameters={})
    client.set_flow_run_state(run.id, state, force=True)
    return client.read_flow_run(run.id)


def opened(store: Store, actor: str = "mallory") -> int:
    return store.report(Batch(findings=[finding(uuid4().hex, actor=actor)]), "guard").opened[0][0]


def triaged(store: Store, actor: str = "mallory") -> int:
    incident_id = opened(store, actor)
    digest = plan_digest(incident_id, STEPS)
    triage = {"steps": [s.model_dump(mode="json") for s in STEPS], "plan_digest": digest, "playbook": "x"}
    store.incidents.move(incident_id, IncidentState.TRIAGED, "test", triage=triage)
    return incident_id


def awaiting(store: Store, run: FlowRun) -> tuple[int, str]:
    incident_id = triaged(store)
    store.incidents.move(incident_id, IncidentState.RESPONDING, "test")
    store.ledger.enter(incident_id, STEPS)
    digest = plan_digest(incident_id, STEPS)
    store.incidents.attempt(incident_id, str(run.id))
    store.approvals.ask(incident_id, digest, str(run.id), store.now + timedelta(minutes=30))
    return incident_id, digest


def test_an_open_incident_nobody_took_gets_a_triage_run_once(
    store: Store, clock: Clock, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    opened(store)
    before = known(client)
    assert gaps.wake_triage(store, runs) == []
    clock.forward(16)
    assert len(gaps.wake_triage(store, runs)) == 1
    assert gaps.wake_triage(store, runs) == []
    assert len(started(client, deployments, "triage", before)) == 1


def test_a_triaged_incident_nobody_answers_gets_a_respond_run(
    store: Store, clock: Clock, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    incident_id = triaged(store)
    before = known(client)
    assert gaps.restart_responses(store, runs) == []
    clock.forward(21)
    assert len(gaps.restart_responses(store, runs)) == 1
    (run,) = started(client, deployments, "respond", before)
    assert run.parameters == {"incident_id": incident_id}


def test_work_that_somebody_holds_is_left_alone(store: Store, clock: Clock, runs: Runs) -> None:
    incident_id = triaged(store)
    store.incidents.move(incident_id, IncidentState.RESPONDING, "test")
    with store.lease(f"incident:{incident_id}", "a living run"):
        assert gaps.restart_responses(store, runs) == []
    back, started = gaps.restart_responses(store, runs)
    assert "it waits for the next one" in back
    assert "started respond run" in started


def test_a_dead_responder_is_buried_and_replaced(
    store: Store, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    zombie = make_run(client, deployments, Running())
    incident_id = triaged(store)
    store.incidents.move(incident_id, IncidentState.RESPONDING, "test")
    store.incidents.attempt(incident_id, str(zombie.id))
    assert len(gaps.restart_responses(store, runs)) == 1
    buried = client.read_flow_run(zombie.id).state
    assert buried
    assert buried.type is StateType.CRASHED


@pytest.mark.parametrize("state", [Failed(), Crashed(), Completed()])
def test_an_asking_run_that_ended_is_replaced_and_the_request_stays_open(
    state: State, store: Store, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    incident_id, digest = awaiting(store, make_run(client, deployments, state))
    before = known(client)
    assert len(gaps.settle_approvals(store, runs)) == 1
    assert len(started(client, deployments, "respond", before)) == 1
    asked = store.approvals.of_plan(incident_id, digest)
    assert asked
    assert asked.decision is None


def test_a_deleted_asking_run_is_replaced(
    store: Store, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    run = make_run(client, deployments, Running())
    awaiting(store, run)
    client.delete_flow_run(run.id)
    before = known(client)
    assert "deleted" in gaps.settle_approvals(store, runs)[0]
    assert len(started(client, deployments, "respond", before)) == 1


def test_a_cancelled_asking_run_ends_the_request_as_cancelled(
    store: Store, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    incident_id, digest = awaiting(store, make_run(client, deployments, Cancelled()))
    gaps.settle_approvals(store, runs)
    asked = store.approvals.of_plan(incident_id, digest)
    assert asked
    assert asked.decision is Decision.CANCELLED
    assert store.ledger.rows(incident_id)[0].state is Outcome.REFUSED


def suspended(client: SyncPrefectClient, deployments: dict[str, UUID], digest: str, form: bool) -> FlowRun:
    state: State[None] = Suspended(timeout_seconds=3600, pause_key=key(digest, 0))
    keyset = keyset_from_paused_state(state)
    state.state_details.run_input_keyset = {str(part): name for part, name in keyset.items()}
    run = make_run(client, deployments, Running())
    client.set_flow_run_state(run.id, state, force=True)
    if form:
        schema = '{"title": "ApprovalForm", "type": "object", "properties": {}}'
        client.create_flow_run_input(run.id, keyset["schema"], schema)
    return client.read_flow_run(run.id)


def test_an_expired_request_is_decided_and_its_run_goes_on(
    store: Store, clock: Clock, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    run = suspended(client, deployments, plan_digest(1, STEPS), form=True)
    incident_id, digest = awaiting(store, run)
    assert incident_id == 1
    assert gaps.settle_approvals(store, runs) == []
    clock.forward(31 * 60)
    assert "expired" in gaps.settle_approvals(store, runs)[0]
    asked = store.approvals.of_plan(incident_id, digest)
    assert asked
    assert asked.decision is Decision.EXPIRED
    state = client.read_flow_run(run.id).state
    assert state
    assert state.type is StateType.SCHEDULED


def test_a_run_killed_before_its_form_was_saved_is_replaced(
    store: Store, clock: Clock, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    run = suspended(client, deployments, plan_digest(1, STEPS), form=False)
    awaiting(store, run)
    before = known(client)
    assert gaps.settle_approvals(store, runs) == []
    clock.forward(25)
    assert "without a form" in gaps.settle_approvals(store, runs)[0]
    assert len(started(client, deployments, "respond", before)) == 1


@pytest.mark.parametrize("state", [Running(), Pending()])
def test_a_resumed_run_that_died_is_replaced(
    state: State, store: Store, clock: Clock, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    awaiting(store, make_run(client, deployments, state))
    before = known(client)
    assert gaps.settle_approvals(store, runs) == []
    clock.forward(35)
    assert "but dead" in gaps.settle_approvals(store, runs)[0]
    assert len(started(client, deployments, "respond", before)) == 1


def test_a_quarantine_that_vanished_is_asserted_again(store: Store, runs: Runs) -> None:
    QuarantineActor().save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]
    incident_id = opened(store)
    store.incidents.move(incident_id, IncidentState.TRIAGED, "test")
    for state in (IncidentState.RESPONDING, IncidentState.CONTAINED):
        store.incidents.move(incident_id, state, "test")
    step = QuarantineActor().plan(store, store.incidents.get(incident_id), {})
    assert isinstance(step, Step)
    (row,) = store.ledger.enter(incident_id, [step])
    with store.lease(f"incident:{incident_id}", "test") as lease:
        assert lease
        store.ledger.settle(lease, row, Outcome.SUCCEEDED, {})
    assert gaps.reassert(store, runs) == []
    store.holds.lift("quarantine-user", "mallory", "answer-tickets", incident_id, "somebody")
    assert len(gaps.reassert(store, runs)) == 1
    assert [h.target for h in store.holds.all()] == ["mallory"]


def test_a_release_that_died_is_started_again_but_not_for_ever(
    store: Store, clock: Clock, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    incident_id = triaged(store)
    for state in (IncidentState.RESPONDING, IncidentState.CONTAINED):
        store.incidents.move(incident_id, state, "test")
    wanted = {"verdict": "resolved", "reason": "done"}
    store.incidents.note(incident_id, "release-requested", "ada", **wanted)
    before = known(client)
    assert gaps.finish_releases(store, runs) == []
    clock.forward(31)
    assert len(gaps.finish_releases(store, runs)) == 1
    (run,) = started(client, deployments, "release", before)
    assert run.parameters == {"incident_id": incident_id, "name": "ada", **wanted}
    for _ in range(2):
        store.incidents.note(incident_id, "release-requested", "ada", **wanted)
    clock.forward(60)
    assert gaps.finish_releases(store, runs) == []


def test_runs_stuck_in_pending_and_silent_scans_are_buried(
    store: Store, clock: Clock, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    pending = make_run(client, deployments, Pending(), "triage")
    scan = make_run(client, deployments, Running(), "scan-logs")
    store.health.beat("scan-logs/firebreak", 20, str(scan.id))
    gaps.bury_dead(store, runs)
    clock.forward(61)
    before = known(client)
    gaps.bury_dead(store, runs)
    assert [run.parameters for run in started(client, deployments, "scan-logs", before)] == [{}]
    for run in (pending, scan):
        state = client.read_flow_run(run.id).state
        assert state
        assert state.type is StateType.CRASHED


def test_a_running_run_without_heartbeat_is_buried_and_no_other(
    store: Store,
    clock: Clock,
    runs: Runs,
    client: SyncPrefectClient,
    deployments: dict[str, UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def running(*tags: str) -> UUID:
        made = client.create_flow_run_from_deployment(deployments["triage"], tags=tags)
        client.set_flow_run_state(made.id, Running(), force=True)
        return made.id

    monkeypatch.setattr(gaps, "SILENT_RUNNING", timedelta(seconds=2))
    dead, foreign, alive = running("firebreak"), running("somebody-elses"), running("firebreak")
    clock.forward(4)

    def only_one_is_silent() -> bool:
        emit_event("prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{alive}"})
        return [run.id for run in runs.silent(store.now, gaps.SILENT_RUNNING)] == [dead]

    until(only_one_is_silent, 20, "the heartbeat of the living run", every=0.5)
    gaps.bury_dead(store, runs)
    states = {run: client.read_flow_run(run).state_type for run in (dead, foreign, alive)}
    assert states == {dead: StateType.CRASHED, foreign: StateType.RUNNING, alive: StateType.RUNNING}


def test_a_silent_flow_opens_one_incident_about_firebreak_itself(store: Store, clock: Clock, runs: Runs) -> None:
    store.health.beat("scan-logs/firebreak", 20)
    clock.forward(61)
    for _ in range(3):
        assert gaps.tell_overdue(store, runs) == ["scan-logs/firebreak has missed three intervals of 20 s"]
    (incident,) = store.incidents.in_states()
    assert (incident.workflow, incident.actor, incident.findings) == ("firebreak", "scan-logs/firebreak", 1)
    assert store.holds.all() == []


def test_what_is_only_watched_closes_after_the_quiet_time(store: Store, clock: Clock, runs: Runs) -> None:
    store.registers.put_policy("version: 1\nclose_quiet_hours: 1\nplaybooks: []\n")
    incident_id = store.report(Batch(findings=[finding("r1", kind="anomaly", severity=Severity.LOW)]), "guard").opened[
        0
    ][0]
    store.incidents.move(incident_id, IncidentState.TRIAGED, "test", triage={"steps": []})
    assert gaps.close_quiet(store, runs) == []
    clock.forward(3601)
    assert len(gaps.close_quiet(store, runs)) == 1
    assert store.incidents.get(incident_id).state is IncidentState.RESOLVED


def test_scheduled_runs_that_piled_up_are_cancelled_but_for_this_one(
    store: Store, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID]
) -> None:
    pile = [client.create_flow_run_from_deployment(deployments["reconcile"]) for _ in range(3)]
    assert runs.cancel_pile("reconcile", store.now + timedelta(seconds=5), str(pile[0].id)) == 2
    states = [client.read_flow_run(run.id).state for run in pile]
    assert [state.type for state in states if state] == [
        StateType.SCHEDULED,
        StateType.CANCELLED,
        StateType.CANCELLED,
    ]


def test_those_that_one_dead_run_had_taken_share_the_next_one(
    store: Store, runs: Runs, client: SyncPrefectClient, deployments: dict[str, UUID], clock: Clock
) -> None:
    before = known(client)
    mine = [triaged(store, actor) for actor in ("mallory", "eve", "trudy")]
    for number in mine:
        store.incidents.move(number, IncidentState.RESPONDING, "respond", attempts=3)
    clock.forward(21)
    *back, restarted = gaps.restart_responses(store, runs)
    assert ["it waits for the next one" in line for line in back] == [True] * 3
    assert "no living run works on it; started respond run" in restarted
    assert len(started(client, deployments, "respond", before)) == 1
    assert [store.incidents.get(number).attempts for number in mine] == [3, 3, 3]  # a limit on runs stays one
    clock.forward(31)
    gaps.restart_responses(store, runs)
    assert len(started(client, deployments, "respond", before)) == 1
