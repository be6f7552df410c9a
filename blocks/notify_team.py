"""Block: tell people, through Prefect's own notification blocks: the policy's recipients, else one channel or the log.

What waits for a recipient's hours, and the repeats of critical ones, are `reconcile`'s to send.
"""

import logging
from datetime import timedelta
from typing import Any, ClassVar

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from pydantic import Field

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe
from firebreak.blocks.alerting_rules import recipients_in_force
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.alerts import Alert, AlertState
from firebreak.blocks.store.ledger import Step
from firebreak.blocks.store.states import CLOSED
from firebreak.detectors.findings import Severity

SENT_BY_NOW = timedelta(seconds=60)  # whoever was about to send a message this long ago is dead
SENDER_DIED = "its sender died: sent or not, nobody can tell"

logger = logging.getLogger("firebreak.notify")


def tell(channel: str, subject: str, body: str) -> None:
    """Send one message through a Prefect notification block (type/name), or to the log. Errors: ActionError."""
    if channel == "log":
        logger.warning("%s", body)
        return
    try:
        block = Block.load(channel)
        if not isinstance(block, NotificationBlock):
            raise ActionError(f"{channel} is not a notification block; name one, e.g. slack-webhook/security")
        with block.raise_on_failure():
            block.notify(body, subject=subject, _sync=True)  # type: ignore[call-arg, unused-coroutine]
    except ActionError:
        raise
    except Exception as error:
        raise ActionError(f"notification through {channel} failed: {type(error).__name__}") from error


def send_alert(store: Store, incident: Incident, alert: Alert, by: str) -> str | None:
    """Send a message that the caller has claimed, and say how it went; why it failed, if it did."""
    again = f" (repeat {alert.number})" if alert.number else ""
    body = f"{subject(incident)}{again}, workflow {incident.workflow}, state {incident.state}"
    if incident.severity is Severity.CRITICAL:
        body += f". Acknowledge it: run acknowledge/firebreak with incident_id={incident.id}"
    try:
        tell(alert.channel, subject(incident), body)
    except ActionError as error:
        store.alerts.settle(alert, AlertState.FAILED, by, str(error))
        return str(error)
    store.alerts.settle(alert, AlertState.SENT, by)
    return None


def subject(incident: Incident) -> str:
    """Titles and actors come from records, so a message is built from what Firebreak itself set."""
    return f"[{incident.severity}] incident {incident.id}: {incident.kind}"


class NotifyTeam(Action):
    """Tell people about the incident. A message can't be taken back."""

    _block_type_name = "Notify Team"
    _block_type_slug = "notify-team"
    _description = "Firebreak action: tell the policy's recipients about the incident, or one channel."

    contains: ClassVar[bool] = False

    channel: str | None = Field(
        default=None,
        description="where the policy names no recipients: a Prefect notification block as type/name, e.g. "
        "slack-webhook/security; none: log",
    )

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        known = recipients_in_force(store)
        told = {one.name: one.block for one in known.values() if one.wants(incident.severity)}
        if known and not told:
            return LeftOut(why=f"the policy names no recipient for severity {incident.severity}")
        target = ", ".join(told) or self.channel or "log"
        ended = [e for e in store.incidents.timeline(incident.id) if e.entry in CLOSED and "corrected" not in e.detail]
        more = {**({"recipients": told} if told else {}), **({"reopened": len(ended)} if ended else {})}
        return Step(
            action=self.get_block_type_slug(),
            target=target,
            parameters={"subject": subject(incident), **more},  # one that goes on after its end is told anew
            title=f"Notify {target}" if told else f"Notify the security team ({target})",
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        """What was handed over, as the store has it; whether a person read it, no probe can tell."""
        digest = step.digest(incident.id)
        if "recipients" in step.parameters:
            states = {one.recipient: one.state for one in store.alerts.of_step(digest) if one.number == 0}
            told = {name: states.get(name, "not yet") for name in step.parameters["recipients"]}
            missing = any(state in ("not yet", AlertState.FAILED) for state in told.values())
            doubtful = any(state in (AlertState.ATTEMPTED, AlertState.UNKNOWN) for state in told.values())
            return Probe(done=False if missing else None if doubtful else True, seen=dict(told))
        sent = [e for e in store.incidents.timeline(incident.id) if e.entry == "notified"]
        mine = [e for e in sent if e.detail.get("digest") == digest]
        return Probe(done=True if mine else None if step.target != "log" else False, seen={"notified": len(mine)})

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        digest = step.digest(incident.id)
        if "recipients" in step.parameters:
            self._alert(store, incident, digest, step.parameters["recipients"])
            return
        about = str(step.parameters["subject"])
        tell(step.target, about, f"{about}, workflow {incident.workflow}, state {incident.state}")
        store.incidents.note(incident.id, "notified", "respond", channel=step.target, digest=digest)

    def _alert(self, store: Store, incident: Incident, digest: str, channels: dict[str, str]) -> None:
        """Written first, each; sent now where the hours allow it. Errors: ActionError, once all were tried."""
        known, failed = recipients_in_force(store), []
        for alert in store.alerts.put(incident.id, digest, channels):
            recipient = known.get(alert.recipient)
            if alert.number or alert.state not in (AlertState.WAITING, AlertState.FAILED):
                continue
            if recipient and not recipient.may_hear(incident.severity, store.now):
                continue
            if store.alerts.claim(alert) and (why := send_alert(store, incident, alert, "respond")):
                failed.append(why)
        if failed:
            raise ActionError("; ".join(failed))
