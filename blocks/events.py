"""Firebreak's events, and sending them. Events are signals; the store is the truth."""

from enum import StrEnum
from typing import Any

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

from firebreak.blocks.store import Incident, Report, Store
from firebreak.detectors.findings import Severity


class Event(StrEnum):
    """Every event Firebreak sends; prefect.yaml's triggers name these."""

    INCIDENT_OPENED = "firebreak.incident.opened"
    INCIDENT_TRIAGED = "firebreak.incident.triaged"
    APPROVAL_REQUESTED = "firebreak.incident.approval-requested"
    APPROVAL_REMINDED = "firebreak.incident.approval-reminded"
    APPROVAL_ESCALATED = "firebreak.incident.approval-escalated"
    APPROVAL_GIVEN = "firebreak.incident.approval-given"
    APPROVAL_DECIDED = "firebreak.incident.approval-decided"
    APPROVAL_EXPIRED = "firebreak.incident.approval-expired"
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
    """Wake `triage` for what a report opened."""
    for incident_id, severity in report.opened:
        _wake(store, Event.INCIDENT_OPENED, incident_id, severity)


def signal_triaged(store: Store, incident: Incident) -> None:
    """Wake `respond` for an incident that has a plan."""
    _wake(store, Event.INCIDENT_TRIAGED, incident.id, incident.severity)


def _wake(store: Store, event: Event, incident_id: int, severity: Severity) -> None:
    """However many incidents, two wake-ups outstanding at most, one for critical ones; none while a run drains the
    store, as that one takes whatever comes.
    """
    how = "critical" if severity is Severity.CRITICAL else "other"
    if not store.health.at_work(event) and store.health.wake(f"{event}/{how}"):
        send(event, incident_id, severity=severity.value)
