"""The demo's steps: each does one thing on a running system and looks for itself whether it worked.

A step may be run again on the same scenario; tests do that with one sabotage after another.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from firebreak.blocks.store import Incident, State
from firebreak.blocks.store.approvals import Asked
from firebreak.deployments import probes
from firebreak.deployments.scenario import ATTACK, DEPLOYMENT, ORDINARY, WORKFLOW, Scenario, StepBroken

STARTED = 180.0  # seconds within which a run has been started or refused, on a machine that does other things too


def answer(s: Scenario) -> None:
    """Ordinary tickets are answered, and the log scan follows the log."""
    s.wait(lambda: s.store.health.alive("scan-logs/firebreak"), "a log scan at work")
    run = s.tickets(ORDINARY)
    if run.state is None or run.state.type is not StateType.COMPLETED:
        raise StepBroken(f"ordinary tickets: the run ended {run.state and run.state.name}")
    for ticket in ORDINARY:
        found = s.records(ticket["user"])
        if not found or not found[-1].response or found[-1].error:
            raise StepBroken(f"{ticket['user']}'s ticket has no answer in the log")
        s.say(f"  {ticket['user']}: {found[-1].router_label} → {(found[-1].response or '')[:70]!r}")


def attack(s: Scenario) -> None:
    """A malicious ticket makes the model reveal its system prompt; the guard withholds the answer."""
    s.tickets([{"user": s.attacker, "text": ATTACK}])
    record = next(reversed(s.records(s.attacker)), None)
    canary = s.store.canary(WORKFLOW)
    if record is None or canary not in (record.response or ""):
        raise StepBroken("the model did not reveal the canary of its system prompt")
    s._attack = record
    if not record.error or "withheld" not in record.error.lower():
        raise StepBroken(f"the leaking answer was not withheld (error: {record.error})")
    s.say(f"  {s.attacker}: {ATTACK!r} → the model revealed its canary; the guard withheld the answer")


def find(s: Scenario) -> None:
    """Both speeds see it: the guard inline, the log scan on the written line. One incident."""

    def look() -> Incident | None:
        for incident in s.store.incidents.in_states():
            for sighting in s.store.incidents.sightings(incident.id):
                if sighting.finding.record_id == s.attack.id and {"guard", "scan-logs"} <= set(sighting.seen_by):
                    s.timed("found by the log scan", sighting.seen_by["scan-logs"])
                    return incident
        return None

    incident = s.wait(look, "the guard's and the log scan's finding")
    s.incident_id = incident.id
    concerned = [i for i in s.store.incidents.in_states() if i.actor == s.attacker]
    if len(concerned) != 1:
        raise StepBroken(f"one trouble, but {len(concerned)} incidents: {[i.kind for i in concerned]}")
    s.say(f"  incident {incident.id}: {incident.title} ({incident.severity})")


def contain(s: Scenario) -> None:
    """The attacker's quarantine was written in the finding's own transaction."""
    holds = [h for h in s.store.standing(WORKFLOW, s.attacker, None) if h.kind == "quarantine-user"]
    if not holds:
        raise StepBroken(f"no quarantine stands against {s.attacker}")
    if s.store.standing(WORKFLOW, "ada", None):
        raise StepBroken("an ordinary user is held too")
    s.timed("contained (quarantine of the user)", holds[0].since)


def refuse(s: Scenario) -> None:
    """The attacker's next ticket is refused before anything is sent to the model."""
    s.tickets([{"user": s.attacker, "text": "Thanks! How do I change my password?"}])
    last = s.records(s.attacker)[-1]
    if last.id == s.attack.id or last.response or not (last.error or "").startswith("refused"):
        raise StepBroken(f"{s.attacker}'s next ticket was not refused")
    s.say(f"  {s.attacker}'s next ticket: {(last.error or '')[:110]}")


def triage(s: Scenario) -> None:
    """Triage chose a playbook and wrote the incident's page."""
    s.wait(lambda: s.incident.triage, "triage of the incident")
    key = f"incident-{s.incident_id}"
    artifact = s.wait(lambda: probes.artifact(key), f"the artifact {key}")
    triaged = [e.at for e in s.store.incidents.timeline(s.incident_id) if e.entry == State.TRIAGED]
    s.timed("triaged", triaged[-1])
    s.say(f"  playbook {(s.incident.triage or {})['playbook']}; {s.system.ui_url}/artifacts/artifact/{artifact}")


def asked_of(s: Scenario) -> Asked | None:
    """The open request for approval, once its run is suspended with its form."""
    asked = next((a for a in s.store.approvals.of_incident(s.incident_id) if a.decision is None), None)
    if asked is None:
        return None
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(asked.runs[-1])).state
    return asked if state and state.type is StateType.PAUSED and probes.has_form(asked) else None


def ask(s: Scenario) -> None:
    """A person is asked in the Prefect UI, and nothing that needs one has happened."""
    asked = s.wait(lambda: asked_of(s), "the request for approval")
    s.timed("waiting for approval", asked.requested_at)
    if not s.controls.is_stopped(WORKFLOW):
        raise StepBroken("the workflow was stopped before anybody approved")
    s.say(f"  [bold]approve or refuse here (Resume):[/bold] {s.run_url(asked.runs[-1])}")


def approve(s: Scenario) -> None:
    """The answer reaches the ledger: a person's, or after a minute the demo's own through the API."""
    asked = s.wait(lambda: asked_of(s), "the request for approval", 5)
    deadline = time.monotonic() + s.person_seconds

    def decided() -> Asked | None:
        now = s.store.approvals.of_plan(s.incident_id, asked.plan_digest)
        return now if now and now.decision else None

    while time.monotonic() < deadline and asked_of(s) and not decided():
        time.sleep(0.2)
    if asked_of(s):
        s.say(f"  nobody answered in {s.person_seconds:.0f} s: the demo approves through the API")
        s.approve(s, asked)
    done = s.wait(decided, "the decision in the ledger")
    if done.decision != "approve":
        raise StepBroken(f"the decision was {done.decision} by {done.decided_by}")
    s.timed("approved", done.decided_at)
    s.say(f"  approved by {done.decided_by}")


def stop(s: Scenario) -> None:
    """The plan ended, the probe saw the stop, and API-made, automation-made and direct runs are refused."""
    ended = s.wait(
        lambda: s.incident if s.incident.state in (State.CONTAINED, State.NEEDS_PERSON) else None, "the end of the plan"
    )
    if ended.state is not State.CONTAINED:
        why = [e.detail.get("why") for e in s.store.incidents.timeline(s.incident_id) if e.entry == "plan-ended"]
        raise StepBroken(f"the plan ended in {ended.state}: {why[-1:]}")
    contained = [e.at for e in s.store.incidents.timeline(s.incident_id) if e.entry == State.CONTAINED]
    s.timed("workflow stopped, plan verified", contained[-1])
    _all_refused(s)


def redeploy(s: Scenario) -> None:
    """Somebody deploys everything in the middle of the incident, which resets Prefect's limits and pauses."""
    s.system.deploy()


def withstand(s: Scenario) -> None:
    """All three are still refused, and reconcile has put Prefect's side back."""
    _all_refused(s)
    s.wait(lambda: not s.controls.is_stopped(WORKFLOW), "the stop re-asserted after the deploy")
    s.say("  after `prefect deploy --all`: refused again, limit back at 0")


def _all_refused(s: Scenario) -> None:
    for how, refused in probes.refusals(s.system.env, DEPLOYMENT, "prober", max(s.patience, STARTED)).items():
        if not refused.ok:
            raise StepBroken(f"{how} was not refused: {refused.seen}")
        s.say(f"  {how}: {refused.seen}")
    if any(record.response for record in s.records("prober")):
        raise StepBroken("a probe's ticket reached the model")


def release(s: Scenario) -> None:
    """A person releases the incident: everything is undone, verified and in the ledger."""
    parameters: dict[str, Any] = {
        "incident_id": s.incident_id,
        "verdict": "resolved",
        "name": "demo",
        "reason": "the demo is over",
        "preview": False,
    }
    run_id = probes.start("release/firebreak", parameters)
    run = s.wait(lambda: s.ended(run_id), "the release")
    if run.state is None or run.state.type is not StateType.COMPLETED:
        raise StepBroken(f"the release ended {run.state and run.state.name}: {run.state and run.state.message}")
    if s.incident.state is not State.RESOLVED or s.store.holds.of_incident(s.incident_id):
        raise StepBroken(f"the incident is {s.incident.state}, holds: {s.store.holds.of_incident(s.incident_id)}")
    s.timed("released", s.incident.closed_at)


def resume(s: Scenario) -> None:
    """The workflow answers again, the former attacker included."""
    before = len(s.records("ada"))
    run = s.tickets([ORDINARY[0], {"user": s.attacker, "text": "How do I change my password?"}])
    if run.state is None or run.state.type is not StateType.COMPLETED:
        raise StepBroken(f"after the release the run ended {run.state and run.state.name}")
    if len(s.records("ada")) == before or not s.records(s.attacker)[-1].response:
        raise StepBroken("after the release the tickets were not answered")
    s.timed("answering again", s.store.now)


STEPS: dict[str, Callable[[Scenario], None]] = {
    step.__name__: step
    for step in (
        answer,
        attack,
        find,
        contain,
        refuse,
        triage,
        ask,
        approve,
        stop,
        redeploy,
        withstand,
        release,
        resume,
    )
}
