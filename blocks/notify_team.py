"""Block: tell the security team, through one of Prefect's own notification blocks or, without one, a log line."""

import logging
from typing import Any

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from pydantic import Field

from firebreak.blocks.action import Action, ActionError, Probe
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step

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


class NotifyTeam(Action):
    """Send one message about the incident. A message can't be taken back."""

    _block_type_name = "Notify Team"
    _block_type_slug = "notify-team"
    _description = "Firebreak action: one message about the incident through a Prefect notification block."

    channel: str | None = Field(
        default=None,
        description="a Prefect notification block as type/name, e.g. slack-webhook/security; none: log",
    )

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step:
        target = self.channel or "log"
        return Step(
            action=self.get_block_type_slug(),
            target=target,
            parameters={"subject": f"[{incident.severity}] incident {incident.id}: {incident.kind}"},
            title=f"Notify the security team ({target})",
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        """The timeline says what was handed over; whether a person read it, no probe can tell."""
        sent = [e for e in store.incidents.timeline(incident.id) if e.entry == "notified"]
        mine = [e for e in sent if e.detail.get("digest") == step.digest(incident.id)]
        return Probe(done=True if mine else None if step.target != "log" else False, seen={"notified": len(mine)})

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        # Titles and actors come from records, so the message is built from what Firebreak itself set.
        subject = str(step.parameters["subject"])
        body = f"{subject}, workflow {incident.workflow}, state {incident.state}"
        tell(step.target, subject, body)
        store.incidents.note(incident.id, "notified", "respond", channel=step.target, digest=step.digest(incident.id))
