"""Holds: the workflows that are stopped and the users and tokens in quarantine. The guard obeys these."""

from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database, upsert
from firebreak.blocks.store.incidents import add_entry
from firebreak.blocks.store.schema import holds

HoldKind = Literal["stop-workflow", "quarantine-user", "quarantine-token"]


class Hold(BaseModel):
    """Something that stands against calls, for one incident. ``target`` is the workflow, the user or the token id."""

    model_config = ConfigDict(frozen=True)

    kind: HoldKind
    target: str
    workflow: str
    incident_id: int
    reason: str
    since: datetime


# Built once, as every guarded call asks it; a target that is null is nobody's.
_AGAINST = (
    holds.select()
    .where(
        holds.c.lifted_at.is_(None),
        holds.c.workflow == sa.bindparam("workflow"),
        sa.or_(
            holds.c.kind == "stop-workflow",
            (holds.c.kind == "quarantine-user") & (holds.c.target == sa.bindparam("user")),
            (holds.c.kind == "quarantine-token") & (holds.c.target == sa.bindparam("token")),
        ),
    )
    .order_by(holds.c.id)
)


def add_hold(conn: Connection, hold: Hold) -> bool:
    """True when it is new; False when it stood already for this incident."""
    row = hold.model_dump()
    return conn.execute(upsert(holds, (*row,), "DO NOTHING RETURNING 1"), row).first() is not None


class Holds:
    """Reading, adding and lifting holds."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def against(self, workflow: str, user: str | None, token_id: str | None) -> list[Hold]:
        """What stands against a call of this workflow by this user with this token."""
        with self._db.read() as conn:
            found = conn.execute(_AGAINST, {"workflow": workflow, "user": user, "token": token_id})
            return [Hold.model_validate(row._mapping) for row in found]

    def of_incident(self, incident_id: int) -> list[Hold]:
        return self._read(holds.c.incident_id == incident_id)

    def all(self) -> list[Hold]:
        """Every hold that stands."""
        return self._read()

    def _read(self, *conditions: sa.ColumnElement[bool]) -> list[Hold]:
        query = holds.select().where(holds.c.lifted_at.is_(None), *conditions).order_by(holds.c.id)
        with self._db.read() as conn:
            return [Hold.model_validate(row._mapping) for row in conn.execute(query)]

    def add(self, kind: HoldKind, target: str, workflow: str, incident_id: int, reason: str) -> bool:
        now = self._db.clock()
        with self._db.write() as conn:
            hold = Hold(kind=kind, target=target, workflow=workflow, incident_id=incident_id, reason=reason, since=now)
            new = add_hold(conn, hold)
            if new:
                add_entry(conn, now, incident_id, "held", "firebreak", {"kind": kind, "target": target})
        return new

    def lift(self, kind: HoldKind, target: str, workflow: str, incident_id: int, by: str) -> bool:
        """Lift this incident's hold; another incident's hold on the same target stands on. False: none stood."""
        now = self._db.clock()
        with self._db.write() as conn:
            lifted = conn.execute(
                holds.update()
                .where(
                    holds.c.kind == kind,
                    holds.c.target == target,
                    holds.c.workflow == workflow,
                    holds.c.incident_id == incident_id,
                    holds.c.lifted_at.is_(None),
                )
                .values(lifted_at=now, lifted_by=by)
            ).rowcount
            if lifted:
                add_entry(conn, now, incident_id, "lifted", by, {"kind": kind, "target": target})
        return bool(lifted)
