"""Incidents: reading them, moving them through their states, their timeline and evidence."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from firebreak.blocks.store import states
from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.detection_schema import labels
from firebreak.blocks.store.errors import IllegalTransition, IncidentMoved, UnknownIncident
from firebreak.blocks.store.schema import evidence, findings, holds, incidents, timeline
from firebreak.blocks.store.states import CLOSED, State
from firebreak.detectors.findings import ActorType, Finding, Severity


class Incident(BaseModel):
    """One trouble, as the store holds it."""

    id: int
    kind: str
    title: str
    workflow: str
    actor_type: ActorType
    actor: str
    severity: Severity
    state: State
    atlas: list[str]
    owasp: list[str]
    cause: str | None = None
    findings: int
    related_to: int | None
    opened_at: datetime
    last_seen_at: datetime
    updated_at: datetime
    contained_at: datetime | None
    closed_at: datetime | None
    triage: dict[str, Any] | None
    respond_run_id: str | None
    attempts: int

    @property
    def closed(self) -> bool:
        return self.state in CLOSED


class Sighting(BaseModel):
    """A finding as stored: who saw it, and when it was written."""

    finding: Finding
    found_at: datetime
    seen_by: dict[str, datetime]


class Entry(BaseModel):
    """One line of an incident's timeline."""

    at: datetime
    entry: str
    by: str
    detail: dict[str, Any]


class Exhibit(BaseModel):
    """A piece of frozen evidence with its hash."""

    name: str
    sha256: str
    body: Any
    frozen_at: datetime


def read_incident(row: sa.Row[Any]) -> Incident:
    return Incident(**{**row._mapping, "severity": list(Severity)[row.severity]})


def add_entry(
    conn: Connection,
    at: datetime,
    incident_id: int,
    entry: str,
    by: str,
    detail: dict[str, Any] | None = None,
) -> None:
    conn.execute(timeline.insert().values(incident_id=incident_id, at=at, entry=entry, by=by, detail=detail or {}))


def move(
    conn: Connection,
    at: datetime,
    incident_id: int,
    to: State,
    by: str,
    expected: State | None = None,
    **columns: Any,
) -> tuple[State, State]:
    """One step of the table of states, with its line in the timeline. The same state again is no step.

    Errors: IllegalTransition, UnknownIncident, IncidentMoved (its state is another than ``expected``).
    """
    found = conn.execute(sa.select(incidents.c.state).where(incidents.c.id == incident_id).with_for_update()).scalar()
    if found is None:
        raise UnknownIncident(f"there is no incident {incident_id}")
    before = State(found)
    if expected is not None and before is not expected:
        raise IncidentMoved(f"incident {incident_id} is {before}, not {expected}, and can't be moved to {to}")
    if before is not to:
        states.check(before, to)
        columns = {"attempts": 0, **columns}
        add_entry(conn, at, incident_id, to, by, {"from": before})
    if to in CLOSED:
        columns["closed_at"] = at
        left = holds.c.incident_id == incident_id, holds.c.lifted_at.is_(None), holds.c.kind.startswith("quarantine-")
        conn.execute(holds.update().where(*left).values(lifted_at=at, lifted_by=by))  # nobody could lift them later
    conn.execute(incidents.update().where(incidents.c.id == incident_id).values(state=to, updated_at=at, **columns))
    return before, to


class Incidents:
    """Reads and steps of incidents; one transaction a call."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, incident_id: int) -> Incident:
        with self._db.read() as conn:
            row = conn.execute(incidents.select().where(incidents.c.id == incident_id)).one_or_none()
        if row is None:
            raise UnknownIncident(f"there is no incident {incident_id}")
        return read_incident(row)

    def in_states(self, *wanted: State) -> list[Incident]:
        """Gravest first, then oldest."""
        query = (
            incidents.select()
            .where(incidents.c.state.in_(wanted or [s for s in State if s not in CLOSED]))
            .order_by(incidents.c.severity.desc(), incidents.c.opened_at, incidents.c.id)
        )
        with self._db.read() as conn:
            return [read_incident(row) for row in conn.execute(query)]

    def move(self, incident_id: int, to: State, by: str, expected: State | None = None, **columns: Any) -> None:
        """Errors: IllegalTransition, UnknownIncident, IncidentMoved (its state is another than ``expected``)."""
        with self._db.write() as conn:
            move(conn, self._db.clock(), incident_id, to, by, expected, **columns)

    def correct(self, incident_id: int, verdict: State, by: str) -> None:
        """A person's other verdict on a closed incident. What the former one taught is forgotten.

        Errors: IllegalTransition (it isn't closed, or no verdict is meant), UnknownIncident.
        """
        with self._db.write() as conn:
            query = incidents.select().where(incidents.c.id == incident_id).with_for_update()
            row = conn.execute(query).one_or_none()
            if row is None:
                raise UnknownIncident(f"there is no incident {incident_id}")
            if row.state not in CLOSED or verdict not in CLOSED:
                raise IllegalTransition(
                    f"incident {incident_id} is {row.state}: only a closed one's verdict is corrected"
                )
            if row.state != verdict:
                now = self._db.clock()
                conn.execute(labels.delete().where(labels.c.incident_id == incident_id))
                conn.execute(
                    incidents.update().where(incidents.c.id == incident_id).values(state=verdict, updated_at=now)
                )
                add_entry(conn, now, incident_id, verdict, by, {"from": row.state, "corrected": True})

    def conclude(self, read: Incident, triage: dict[str, Any]) -> bool:
        """From open to triaged; False when it has become another trouble since it was ``read``: it stays open.

        Errors: IncidentMoved (it isn't open any more).
        """
        with self._db.write() as conn:
            query = incidents.select().where(incidents.c.id == read.id).with_for_update()
            now = read_incident(conn.execute(query).one())
            if (now.cause, now.severity, now.kind) != (read.cause, read.severity, read.kind):
                return False
            move(conn, self._db.clock(), read.id, State.TRIAGED, "triage", State.OPEN, triage=triage)
        return True

    def note(self, incident_id: int, entry: str, by: str, **detail: Any) -> None:
        with self._db.write() as conn:
            add_entry(conn, self._db.clock(), incident_id, entry, by, detail)

    def set(self, incident_id: int, **columns: Any) -> None:
        with self._db.write() as conn:
            conn.execute(incidents.update().where(incidents.c.id == incident_id).values(**columns))

    def attempt(self, incident_id: int, run_id: str | None) -> int:
        """Count one more run spent on the incident's present state; the number so far."""
        with self._db.write() as conn:
            count: int = conn.execute(
                incidents.update()
                .where(incidents.c.id == incident_id)
                .values(attempts=incidents.c.attempts + 1, respond_run_id=run_id, updated_at=self._db.clock())
                .returning(incidents.c.attempts)
            ).scalar_one()
        return count

    def sightings(self, incident_id: int, limit: int = 500) -> list[Sighting]:
        """Its findings, gravest first, then by the record's time."""
        query = (
            findings.select()
            .where(findings.c.incident_id == incident_id)
            .order_by(findings.c.severity.desc(), findings.c.record_time, findings.c.key)
            .limit(limit)
        )
        with self._db.read() as conn:
            return [
                Sighting(finding=Finding(**row.body), found_at=row.found_at, seen_by=row.seen_by)
                for row in conn.execute(query)
            ]

    def timeline(self, incident_id: int) -> list[Entry]:
        query = timeline.select().where(timeline.c.incident_id == incident_id).order_by(timeline.c.id)
        with self._db.read() as conn:
            return [Entry(at=r.at, entry=r.entry, by=r.by, detail=r.detail) for r in conn.execute(query)]

    def freeze(self, incident_id: int, name: str, body: Any) -> str:
        """Keep evidence as it is now. The same content twice is kept once. Returns its SHA-256."""
        sha256 = hashlib.sha256(canonical(body).encode()).hexdigest()
        now = self._db.clock()
        with self._db.write() as conn:
            kept = wrote(
                conn,
                self._db.insert(evidence)
                .values(incident_id=incident_id, name=name, sha256=sha256, body=body, frozen_at=now)
                .on_conflict_do_nothing(),
            )
            if kept:
                add_entry(conn, now, incident_id, "evidence-frozen", "firebreak", {"name": name, "sha256": sha256})
        return sha256

    def evidence(self, incident_id: int) -> Sequence[Exhibit]:
        query = evidence.select().where(evidence.c.incident_id == incident_id).order_by(evidence.c.id)
        with self._db.read() as conn:
            return [
                Exhibit(name=r.name, sha256=r.sha256, body=r.body, frozen_at=r.frozen_at) for r in conn.execute(query)
            ]


def canonical(value: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
