"""Retrainings: what was asked for, by which incident, and how far it came."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from pydantic import BaseModel

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.drift_schema import retrainings
from firebreak.blocks.store.incidents import add_entry


class RetrainingState(StrEnum):
    """How a retraining stands."""

    REQUESTED = "requested"
    RUNNING = "running"
    HANDED_OVER = "handed-over"  # a candidate passed the gate: its promotion is the incident's new plan
    REFUSED = "refused"  # the gate, or too little data
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


class Retraining(BaseModel):
    """One request; ``detail`` holds what its steps came to."""

    id: int
    incident_id: int
    dataset: str
    key: str
    state: RetrainingState
    detail: dict[str, Any]
    run_id: str | None
    attempts: int
    requested_at: datetime
    updated_at: datetime

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def uuid(self) -> str:
        """Its name outside this store; the number is another retraining's in another store."""
        return str(self.detail["uuid"])


OPEN = (RetrainingState.REQUESTED, RetrainingState.RUNNING)


class Retrainings:
    """Asking for a retraining and following it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def request(self, incident_id: int, dataset: str, key: str, detail: dict[str, Any]) -> Retraining:
        """Ask once: the same incident and key give the same retraining."""
        now = self._db.clock()
        values = {
            "incident_id": incident_id,
            "dataset": dataset,
            "key": key,
            "state": RetrainingState.REQUESTED,
            "detail": {**detail, "uuid": uuid4().hex},
            "attempts": 0,
            "requested_at": now,
            "updated_at": now,
        }
        with self._db.write() as conn:
            if wrote(conn, self._db.insert(retrainings).values(**values).on_conflict_do_nothing()):
                add_entry(conn, now, incident_id, "retraining-requested", "respond", {"dataset": dataset})
        return self._read(retrainings.c.incident_id == incident_id, retrainings.c.key == key)[0]

    def get(self, retraining_id: int) -> Retraining:
        return self._read(retrainings.c.id == retraining_id)[0]

    def of_incident(self, incident_id: int) -> list[Retraining]:
        """Oldest first."""
        return self._read(retrainings.c.incident_id == incident_id)

    def open(self) -> list[Retraining]:
        """Those that are not at their end."""
        return self._read(retrainings.c.state.in_(OPEN))

    def since(self, dataset: str, at: datetime) -> list[Retraining]:
        """Those asked for since then, withdrawn ones left out."""
        recent = retrainings.c.dataset == dataset, retrainings.c.requested_at >= at
        return self._read(*recent, retrainings.c.state != RetrainingState.WITHDRAWN)

    def set(
        self,
        retraining_id: int,
        *,
        state: RetrainingState | None = None,
        run_id: str | None = None,
        attempts: int | None = None,
        detail: dict[str, Any] | None = None,
    ) -> Retraining:
        """Change what is given; ``detail`` is added to what is there. A new state is a line in the timeline.

        An end stands: where there is one, another state changes nothing. Returns what stands.
        """
        now = self._db.clock()
        with self._db.write() as conn:
            query = retrainings.select().where(retrainings.c.id == retraining_id).with_for_update()
            before = Retraining(**conn.execute(query).one()._mapping)
            if state is not None and not before.open:
                return before
            columns: dict[str, Any] = {"updated_at": now, "detail": {**before.detail, **(detail or {})}}
            given = {"state": state, "run_id": run_id, "attempts": attempts}
            columns |= {name: value for name, value in given.items() if value is not None}
            conn.execute(retrainings.update().where(retrainings.c.id == retraining_id).values(**columns))
            if state is not None and state is not before.state:
                add_entry(conn, now, before.incident_id, f"retraining-{state}", "retrain", {"retraining": before.id})
        return self.get(retraining_id)

    def _read(self, *conditions: sa.ColumnElement[bool]) -> list[Retraining]:
        with self._db.read() as conn:
            rows = conn.execute(retrainings.select().where(*conditions).order_by(retrainings.c.id))
            return [Retraining(**row._mapping) for row in rows]
