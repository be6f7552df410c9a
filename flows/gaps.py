"""The gaps that signals leave, one function each. All look at the store and at Prefect, and put right what is wrong.

Each returns what it did, in words. Work that somebody holds (a lease) is never touched.
"""

from datetime import timedelta
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun, StateType

from firebreak.blocks.events import Event, signal_opened
from firebreak.blocks.overdue import report_overdue
from firebreak.blocks.store import Incident, Lease, State, Store
from firebreak.blocks.store.approvals import Asked, Decision
from firebreak.blocks.store.incidents import Entry
from firebreak.blocks.store.ledger import Outcome, Row
from firebreak.detectors.findings import Severity
from firebreak.flows.asking import due
from firebreak.flows.ending import at_their_end
from firebreak.flows.policy import load_policy
from firebreak.flows.runs import ENDED, Runs
from firebreak.flows.shared import DOCUMENT, load_action

UNTRIAGED = timedelta(seconds=15)  # an open incident nobody took
UNANSWERED = timedelta(seconds=20)  # a triaged incident nobody responds to
SLOW = timedelta(minutes=2)  # one that a living run will come to, unless it is stuck; not for a critical one
STUCK_PENDING = timedelta(seconds=60)  # a worker that takes a run starts it sooner than this
SILENT_RUNNING = timedelta(seconds=120)  # four heartbeats of 30 s (PREFECT_FLOWS_HEARTBEAT_FREQUENCY)
STUCK_SCAN = timedelta(seconds=30)  # a scan that was started this long ago has beaten, or is dead
STUCK_RESUMED = timedelta(seconds=20)  # a resumed run that holds no lease by then is dead
UNSAVED_FORM = timedelta(seconds=20)
RELEASES = 3  # runs spent on one release

_HELD = (State.CONTAINED, State.AWAITING_APPROVAL, State.RESPONDING, State.NEEDS_PERSON)


def wake_triage(store: Store, runs: Runs) -> list[str]:
    """Open incidents that no signal brought to triage."""
    patience = SLOW if store.health.at_work(Event.INCIDENT_OPENED) else UNTRIAGED
    waiting = [
        i
        for i in store.incidents.in_states(State.OPEN)
        if store.now - i.updated_at > _patience(i, patience, UNTRIAGED) and not store.holder(_lease(i))
    ]
    # Not under the topic that `triage` answers: this one only limits how often a run is started.
    if waiting and store.health.wake("reconcile/triage"):
        return [f"{len(waiting)} open incident(s) waited: started triage run {runs.start('triage')}"]
    return []


def restart_responses(store: Store, runs: Runs) -> list[str]:
    """Triaged incidents without a responder, and responders that died."""
    done, back = list[str](), set[int]()
    for incident in store.incidents.in_states(State.RESPONDING):
        if store.holder(_lease(incident)):
            continue
        if incident.respond_run_id:
            done += _respond_again(store, runs, incident, "no living run works on it")
        elif store.health.wake(f"reconcile/back/{incident.id}"):
            done += _back_in_line(store, incident)
            back.add(incident.id)
    at_work = store.health.at_work(Event.INCIDENT_TRIAGED)
    patience = SLOW if at_work else UNANSWERED
    for incident in due(store):
        waited = store.now - incident.updated_at >= _patience(incident, patience, UNANSWERED)
        if not (waited or (incident.id in back and not at_work)) or store.holder(_lease(incident)):
            continue
        if store.health.wake("reconcile/respond"):
            done += _respond_again(store, runs, incident, "no living run works on it")  # it takes the others as well
        break
    return done


def _back_in_line(store: Store, incident: Incident) -> list[str]:
    """A run that took many left this one: the next such run takes it. A run for each would be a storm of its own."""
    with store.lease(_lease(incident), f"reconcile/{uuid4()}") as lease:
        found = store.incidents.get(incident.id)
        if lease is None or found.state is not State.RESPONDING or found.respond_run_id:
            return []
        store.incidents.move(incident.id, State.TRIAGED, "reconcile", State.RESPONDING, attempts=found.attempts)
    return [f"incident {incident.id}: the run that had it is gone; it waits for the next one"]


def settle_approvals(store: Store, runs: Runs) -> list[str]:
    """Expired requests, and requests whose run was cancelled, deleted, failed or killed."""
    done = []
    for incident in store.incidents.in_states(State.AWAITING_APPROVAL):
        if store.holder(_lease(incident)):
            continue
        asked = next((a for a in reversed(store.approvals.of_incident(incident.id))), None)
        if asked is None:
            done += _respond_again(store, runs, incident, "its request for approval is missing")
            continue
        done += _settle(store, runs, incident, asked, runs.read(asked.runs[-1]))
    return done


def _settle(store: Store, runs: Runs, incident: Incident, asked: Asked, run: FlowRun | None) -> list[str]:
    state = run.state if run else None
    if run is None or state is None:
        return _respond_again(store, runs, incident, "the run that asked was deleted")
    if state.type is StateType.CANCELLED:
        _decide(store, incident, asked, Decision.CANCELLED, "the run that asked was cancelled")
        return _respond_again(store, runs, incident, "the run that asked was cancelled")
    if state.type in ENDED:
        return _respond_again(store, runs, incident, f"the run that asked is {state.name}")
    if state.type is StateType.PAUSED:
        if asked.decision is not None or store.now >= asked.expires_at:
            _decide(store, incident, asked, Decision.EXPIRED, "nobody answered in time")
            runs.resume_expired(run)
            return [f"incident {incident.id}: the request for approval expired, its run goes on to its end"]
        if store.now - state.timestamp > UNSAVED_FORM and not runs.can_be_answered(run):
            runs.bury(run, "killed before its form was saved")
            return _respond_again(store, runs, incident, "its run suspended without a form")
        return []
    if state.type in (StateType.RUNNING, StateType.PENDING) and store.now - state.timestamp > STUCK_RESUMED:
        return _respond_again(store, runs, incident, f"the run that asked is {state.name}, but dead")
    return []


def _decide(store: Store, incident: Incident, asked: Asked, decision: Decision, why: str) -> None:
    if asked.decision is None:
        waiting = [row.digest for row in store.ledger.rows(incident.id) if row.approval != "auto"]
        store.approvals.decide(incident.id, asked.plan_digest, decision, "firebreak", why, waiting)


def _respond_again(store: Store, runs: Runs, incident: Incident, why: str) -> list[str]:
    last = runs.read(incident.respond_run_id)
    if last and last.state and last.state.type is StateType.SCHEDULED:
        return []  # one is on its way already; a worker takes it when it can
    if not store.health.wake(f"reconcile/respond/{incident.id}"):
        return []
    runs.bury(last, "Firebreak found its process gone")
    started = runs.start("respond", {"incident_id": incident.id})
    store.incidents.set(incident.id, respond_run_id=started)
    store.incidents.note(incident.id, "respond-restarted", "reconcile", why=why, run_id=started)
    return [f"incident {incident.id}: {why}; started respond run {started}"]


def finish_releases(store: Store, runs: Runs) -> list[str]:
    """A release that was asked for and died on the way is started again, with what was asked."""
    done = []
    for incident in store.incidents.in_states(*_HELD):
        asked = _release_requests(store, incident)
        if not asked or len(asked) >= RELEASES or store.holder(_lease(incident)):
            continue
        if store.now - asked[-1].at > STUCK_RESUMED and store.health.wake(f"reconcile/release/{incident.id}"):
            wanted = {"incident_id": incident.id, "name": asked[-1].by, **asked[-1].detail}
            done.append(
                f"incident {incident.id}: its release died; started release run {runs.start('release', wanted)}"
            )
    return done


def _release_requests(store: Store, incident: Incident) -> list[Entry]:
    """Those that still count: an incident that got worse since needs a new decision."""
    asked: list[Entry] = []
    for entry in store.incidents.timeline(incident.id):
        if entry.entry == "release-requested":
            asked.append(entry)
        elif entry.entry in (State.OPEN, "severity-raised", "released-in-part"):
            asked.clear()
    return asked


def reassert(store: Store, runs: Runs) -> list[str]:
    """Containment that should stand and does not (a `prefect deploy` in the middle lifts limits and pauses)."""
    done = []
    for incident in store.incidents.in_states(*_HELD):
        with store.lease(_lease(incident), f"reconcile/{uuid4()}") as lease:
            if lease is None or store.incidents.get(incident.id).state not in _HELD:
                continue
            rows = store.ledger.rows(incident.id)
            over = at_their_end(rows, store.now)
            for row in rows:
                if row.state is Outcome.SUCCEEDED and not row.undo_of and row not in over:
                    try:
                        done += _assert_again(store, incident, row, lease)
                    except Exception as error:  # noqa: BLE001 - a broken action must not keep the others from standing
                        done.append(f"incident {incident.id}: {row.title}: can't be checked: {type(error).__name__}")
    return done


def _assert_again(store: Store, incident: Incident, row: Row, lease: Lease) -> list[str]:
    action = load_action(row.action)
    if not action.reasserted or action.verify(store, incident, row.step).done is not False:
        return []
    lease.check()
    action.apply(store, incident, row.step)
    stands = action.verify(store, incident, row.step).done
    store.incidents.note(incident.id, "re-asserted", "reconcile", action=row.action, target=row.target, stands=stands)
    return [f"incident {incident.id}: {row.title}: re-asserted, stands: {stands}"]


def bury_dead(store: Store, runs: Runs) -> list[str]:
    """Runs that no process is behind: pending for too long, without heartbeat, or a log scan that stopped beating."""
    done = []
    for run in runs.stuck(store.now, STUCK_PENDING):
        runs.bury(run, "pending for too long: its worker is gone")
        done.append(f"run {run.name} was pending for too long: marked crashed")
    for run in runs.silent(store.now, SILENT_RUNNING):
        runs.bury(run, "no heartbeat for too long: its process is gone")
        done.append(f"run {run.name} sent no heartbeat for {SILENT_RUNNING.seconds} s: marked crashed")
    for beat in store.health.silent(prefix="scan-logs/"):
        log = beat.name.removeprefix("scan-logs/")
        dead = [
            run
            for run in runs.unfinished("scan-logs", store.now, STUCK_SCAN)
            if run.parameters.get("log", DOCUMENT) == log
        ]
        for run in dead:
            runs.bury(run, "its heartbeat stopped")
        if dead:  # now that its slot is free, no need to wait for the schedule
            done.append(f"the scan of {log} stopped beating: marked crashed, started run {runs.again(dead[0])}")
    return done


def tell_overdue(store: Store, runs: Runs) -> list[str]:
    """Scheduled flows that missed three of their intervals: an incident about Firebreak itself."""
    overdue, report = report_overdue(store, "reconcile")
    signal_opened(store, report)
    return [f"{one.name} has missed three intervals of {one.interval_seconds} s" for one in overdue]


def close_quiet(store: Store, runs: Runs) -> list[str]:
    """Incidents that nothing acts on, after the policy's quiet time."""
    quiet = timedelta(hours=load_policy(store).close_quiet_hours)
    done = []
    for incident in store.incidents.in_states(State.TRIAGED):
        acted_on = (incident.triage or {}).get("steps") or store.holds.of_incident(incident.id)
        if not acted_on and store.now - incident.last_seen_at > quiet:
            store.incidents.move(incident.id, State.RESOLVED, "reconcile")
            done.append(f"incident {incident.id}: watched only and quiet: closed")
    return done


def _patience(incident: Incident, one: timedelta, critical: timedelta) -> timedelta:
    return critical if incident.severity is Severity.CRITICAL else one


def _lease(incident: Incident) -> str:
    return f"incident:{incident.id}"
