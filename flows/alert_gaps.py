"""Messages that are due: those that waited for a recipient's hours, and repeats until somebody acknowledges."""

from datetime import timedelta

from firebreak.blocks.alerting_rules import Recipient, recipients_in_force
from firebreak.blocks.notify_team import SENDER_DIED, SENT_BY_NOW, send_alert
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.alerts import Alert, AlertState
from firebreak.detectors.findings import Severity
from firebreak.flows.runs import Runs

SOONEST, LATEST = timedelta(minutes=1), timedelta(minutes=15)  # between two tries of a message that failed


def alert(store: Store, runs: Runs) -> list[str]:
    """Send what is due. Whether a message went out whose sender died is unknown: said, and only a repeat follows it."""
    known, done = recipients_in_force(store), []
    for one in store.alerts.unsettled():
        if one.state is AlertState.WAITING or _again(store, one):
            done += _waited(store, one, known.get(one.recipient))
        elif one.state is AlertState.ATTEMPTED and store.now - one.at > SENT_BY_NOW:
            done += _lost(store, one)
    for incident in store.incidents.in_states():
        if incident.severity is Severity.CRITICAL:
            done += _repeat(store, incident, known)
    return done


def _lost(store: Store, one: Alert) -> list[str]:
    unknown = store.alerts.settle(one, AlertState.UNKNOWN, "reconcile", SENDER_DIED)
    return [f"{_name(one)}: whether it was sent is unknown"] if unknown else []


def _again(store: Store, one: Alert) -> bool:
    """A message that failed is tried again: after a minute, then ever later, up to a quarter of an hour; a repeat
    that has gone out since stands for it."""
    pause = min(max(one.at - one.due_at, SOONEST), LATEST)
    if one.state is not AlertState.FAILED or store.now - one.at < pause:
        return False
    return not any(later.number for later in store.alerts.of_step(one.digest) if later.recipient == one.recipient)


def _waited(store: Store, one: Alert, recipient: Recipient | None) -> list[str]:
    incident = store.incidents.get(one.incident_id)
    if incident.closed or recipient is None or store.alerts.heard(one):
        why = "the policy names this recipient no more" if recipient is None else "somebody has it in hand, or it ended"
        withdrawn = store.alerts.settle(one, AlertState.WITHDRAWN, "reconcile", why)
        return [f"{_name(one)}: withdrawn"] if withdrawn else []
    if not recipient.may_hear(incident.severity, store.now) or not store.alerts.claim(one):
        return []
    return [_sent(store, incident, one)]


def _repeat(store: Store, incident: Incident, known: dict[str, Recipient]) -> list[str]:
    """The next message to each recipient that nobody has answered; one at a time, however long nobody looked."""
    done = []
    newest = {(one.digest, one.recipient): one for one in store.alerts.of_incident(incident.id)}
    current = {digest for digest, _ in list(newest)[-1:]}  # of the plan's newest message alone
    for (digest, name), last in newest.items():
        recipient = known.get(name)
        if digest not in current or recipient is None or not recipient.repeat_minutes:
            continue
        if last.number >= recipient.repeat_most or last.state in (AlertState.WAITING, AlertState.ATTEMPTED):
            continue
        if store.now - last.at < timedelta(minutes=recipient.repeat_minutes):
            continue
        first = next(one for one in store.alerts.of_step(digest) if one.recipient == name and one.number == 0)
        if not recipient.may_hear(incident.severity, store.now) or store.alerts.heard(first):
            continue
        if again := store.alerts.repeat(last):
            done.append(_sent(store, incident, again))
    return done


def _sent(store: Store, incident: Incident, one: Alert) -> str:
    why = send_alert(store, incident, one, "reconcile")
    return f"{_name(one)}: {why or f'sent through {one.channel}'}"


def _name(one: Alert) -> str:
    return f"incident {one.incident_id}: message {one.number} to {one.recipient}"
