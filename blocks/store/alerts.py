"""Alerts: which message to whom, about what, and how its sending went. One row a message, written before it is sent."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from pydantic import BaseModel

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.incidents import add_entry
from firebreak.blocks.store.response_schema import alerts
from firebreak.blocks.store.schema import timeline


class AlertState(StrEnum):
    """How far a message is known to have come."""

    WAITING = "waiting"  # for the recipient's hours
    ATTEMPTED = "attempted"  # somebody sends it now, or died while sending
    SENT = "sent"  # the recipient's service took it
    FAILED = "failed"
    UNKNOWN = "unknown"  # its sender died: sent or not, nobody can tell
    WITHDRAWN = "withdrawn"  # nobody needs to hear it any more


class Alert(BaseModel):
    """One message: the first (number 0) or a repeat."""

    id: int
    incident_id: int
    digest: str
    recipient: str
    channel: str
    number: int
    state: AlertState
    due_at: datetime
    at: datetime


class Alerts:
    """Messages and their sending. Whoever changes a row to ``attempted`` is the one who sends it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, incident_id: int, digest: str, channels: Mapping[str, str]) -> list[Alert]:
        """Write a step's first messages, recipient to channel; those that are there already stay as they are."""
        now = self._db.clock()
        with self._db.write() as conn:
            for recipient, channel in channels.items():
                new = {"incident_id": incident_id, "digest": digest, "recipient": recipient, "channel": channel}
                state = {"number": 0, "state": AlertState.WAITING, "due_at": now, "at": now}
                conn.execute(self._db.insert(alerts).values(**new, **state).on_conflict_do_nothing())
        return self.of_step(digest)

    def repeat(self, last: Alert) -> Alert | None:
        """The message after ``last``, for the one who is to send it; None: somebody has it."""
        now = self._db.clock()
        same = last.model_dump(include={"incident_id", "digest", "recipient", "channel"})
        row = {"number": last.number + 1, "state": AlertState.ATTEMPTED, "due_at": now, "at": now}
        with self._db.write() as conn:
            if not wrote(conn, self._db.insert(alerts).values(**same, **row).on_conflict_do_nothing()):
                return None
        return next(one for one in self.of_step(last.digest) if _is_next(one, last))

    def claim(self, alert: Alert) -> bool:
        """True for the one who is to send this message now."""
        return self._change(alert, AlertState.ATTEMPTED)

    def settle(self, alert: Alert, state: AlertState, by: str, why: str = "") -> bool:
        """Say how it went, on the timeline too; False when another said so before."""
        return self._change(alert, state, by, why)

    def of_step(self, digest: str) -> list[Alert]:
        return self._read(alerts.c.digest == digest)

    def of_incident(self, incident_id: int) -> list[Alert]:
        return self._read(alerts.c.incident_id == incident_id)

    def unsettled(self) -> list[Alert]:
        """Those that wait, those that somebody sends just now, and first messages that failed."""
        failed = (alerts.c.state == AlertState.FAILED) & (alerts.c.number == 0)
        return self._read(alerts.c.state.in_([AlertState.WAITING, AlertState.ATTEMPTED]) | failed)

    def heard(self, since: Alert) -> bool:
        """Whether a person has done anything about the incident since: acknowledged, decided, released, closed it."""
        after = timeline.c.incident_id == since.incident_id, timeline.c.at >= since.due_at
        query = sa.select(timeline.c.entry, timeline.c.detail).where(*after, timeline.c.entry.in_(_BY_PEOPLE))
        with self._db.read() as conn:
            found = conn.execute(query).all()
        return any(e.entry != "approval-decided" or e.detail["decision"] in ("approve", "refuse") for e in found)

    def _change(self, alert: Alert, to: AlertState, by: str = "", why: str = "") -> bool:
        """From the state it was read in; a claim changes that for those who read it before."""
        now = self._db.clock()
        was = AlertState.ATTEMPTED if to in (AlertState.SENT, AlertState.FAILED, AlertState.UNKNOWN) else alert.state
        with self._db.write() as conn:
            this = alerts.c.id == alert.id, alerts.c.state == was
            changed = conn.execute(alerts.update().where(*this).values(state=to, at=now)).rowcount
            if changed and by:
                told = {"recipient": alert.recipient, "channel": alert.channel, "number": alert.number, "state": to}
                told |= {"digest": alert.digest, **({"why": why[:500]} if why else {})}
                add_entry(conn, now, alert.incident_id, "notified", by, told)
        return bool(changed)

    def _read(self, condition: sa.ColumnElement[bool]) -> list[Alert]:
        with self._db.read() as conn:
            rows = conn.execute(alerts.select().where(condition).order_by(alerts.c.id))
            return [Alert(**row._mapping) for row in rows]


_BY_PEOPLE = (
    "acknowledged",
    "approval-given",
    "approval-decided",
    "release-requested",
    "resolved",
    "false-positive",
)


def _is_next(one: Alert, last: Alert) -> bool:
    return one.recipient == last.recipient and one.number == last.number + 1
