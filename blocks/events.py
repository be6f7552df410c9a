"""Firebreak's events, and sending them. Events are signals; the store is the truth."""

from enum import StrEnum
from typing import Any

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

from firebreak.blocks.store import Report, Store


class Event(StrEnum):
    """Every event Firebreak sends; prefect.yaml's triggers name these."""

    INCIDENT_OPENED = "firebreak.incident.opened"
    INCIDENT_TRIAGED = "firebreak.incident.triaged"
    APPROVAL_REQUESTED = "firebreak.incident.approval-requested"
    APPROVAL_DECIDED = "firebreak.incident.approval-decided"
    INCIDENT_CONTAINED = "firebreak.incident.contained"
    INCIDENT_RESOLVED = "firebreak.incident.resolved"
    DRIFT_CONFIRMED = "firebreak.drift.confirmed"
    MODEL_PROMOTED = "firebreak.model.promoted"


def send(event: Event, incident_id: int, **payload: Any) -> None:
    """Send a signal about an incident. It may be lost; `reconcile` closes that gap.

    Without a server's address nobody listens, and Prefect would start a server of its own for it: 10 s.
    """
    if not PREFECT_API_URL.value():
        return
    emit_event(
        event=event.value,
        resource={"prefect.resource.id": f"firebreak.incident.{incident_id}"},
        payload={"incident_id": incident_id, **payload},
    )


def signal_opened(store: Store, report: Report) -> None:
    """Wake `triage` for what a report opened: one wake-up outstanding per severity, however many incidents."""
    for incident_id, severity in report.opened:
        if store.health.wake(f"{Event.INCIDENT_OPENED}/{severity}"):
            send(Event.INCIDENT_OPENED, incident_id, severity=severity.value)
