"""Reminders before a request for approval expires, and escalation to the next people; for `reconcile`, once each."""

from datetime import timedelta

from firebreak.blocks.action import ActionError
from firebreak.blocks.events import Event, send
from firebreak.blocks.notify_team import SENDER_DIED, SENT_BY_NOW, tell
from firebreak.blocks.store import Incident, State, Store
from firebreak.blocks.store.approvals import Asked
from firebreak.blocks.store.ledger import Outcome
from firebreak.flows.policy import ApprovalRules, load_policy
from firebreak.flows.runs import Runs

REMINDED, ESCALATED = "reminded", "escalated"  # as the timeline has them, after `approval-`


def remind(store: Store, runs: Runs) -> list[str]:
    """What is due for the requests that are open. A message that may or may not have gone out is not sent again."""
    rules, done = load_policy(store).approval, []
    for incident in store.incidents.in_states(State.AWAITING_APPROVAL):
        for asked in store.approvals.of_incident(incident.id):
            if asked.decision is None and store.now < asked.expires_at:
                done += _notify(store, incident, asked, rules)
    return done


def _notify(store: Store, incident: Incident, asked: Asked, rules: ApprovalRules) -> list[str]:
    done = []
    for kind in store.approvals.unsettled_notices(asked, store.now - SENT_BY_NOW):
        store.approvals.settle_notice(asked, kind, Outcome.UNKNOWN, why=SENDER_DIED)
        done.append(f"incident {incident.id}: notice {kind}: whether it was sent is unknown")
    for kind, channel, minutes in _wanted(rules):
        due = asked.expires_at - timedelta(minutes=minutes)
        if store.now >= due and store.approvals.claim_notice(asked, kind, channel):
            done.append(_send(store, incident, asked, kind, channel))
    return done


def _wanted(rules: ApprovalRules) -> list[tuple[str, str, float]]:
    """Kind, channel, minutes before expiry."""
    reminder = [(REMINDED, rules.notify or "log", rules.remind_minutes)] if rules.remind_minutes else []
    next_ones = [(f"{ESCALATED}-{n}", each.notify, each.minutes) for n, each in enumerate(rules.escalate, start=1)]
    return reminder + next_ones


def _send(store: Store, incident: Incident, asked: Asked, kind: str, channel: str) -> str:
    """One message. It is built from what Firebreak itself set: titles and actors come from records."""
    subject = f"[{incident.severity}] incident {incident.id}: a decision is needed by {asked.expires_at:%H:%M} UTC"
    body = f"{subject}, else it is a no. Answer the form of flow run {asked.runs[-1]} (Resume)."
    try:
        tell(channel, subject, body)
    except ActionError as error:
        store.approvals.settle_notice(asked, kind, Outcome.FAILED, channel=channel, why=str(error))
        return f"incident {incident.id}: {error}"
    store.approvals.settle_notice(asked, kind, Outcome.SUCCEEDED, channel=channel)
    event = Event.APPROVAL_REMINDED if kind == REMINDED else Event.APPROVAL_ESCALATED
    send(event, incident.id, plan_digest=asked.plan_digest, channel=channel)
    return f"incident {incident.id}: {kind} through {channel}"
