"""Approvals: what was asked, by which runs, until when, and the one decision that counts."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.incidents import add_entry, move
from firebreak.blocks.store.ledger import Outcome
from firebreak.blocks.store.schema import approvals, ledger
from firebreak.blocks.store.states import State


class Decision(StrEnum):
    """How an approval ended."""

    APPROVE = "approve"
    REFUSE = "refuse"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Asked(BaseModel):
    """A request for approval of the plan with this digest."""

    id: int
    incident_id: int
    plan_digest: str
    runs: list[str]
    requested_at: datetime
    expires_at: datetime
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None
    comment: str | None


class Approvals:
    """Asking and deciding. The first decision stands; a later one changes nothing and is noted."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def ask(self, incident_id: int, plan_digest: str, run_id: str, expires_at: datetime) -> Asked:
        """Ask, or ask again for the same plan by another run (its expiry stays the first one)."""
        now = self._db.clock()
        with self._db.write() as conn:
            new = wrote(
                conn,
                self._db.insert(approvals)
                .values(
                    incident_id=incident_id,
                    plan_digest=plan_digest,
                    runs=[],
                    requested_at=now,
                    expires_at=expires_at,
                )
                .on_conflict_do_nothing(),
            )
            asked = self._locked(conn, incident_id, plan_digest)
            if run_id not in asked.runs:
                asked.runs.append(run_id)
                conn.execute(approvals.update().where(approvals.c.id == asked.id).values(runs=asked.runs))
            if new:
                detail = {"plan_digest": plan_digest, "expires_at": expires_at.isoformat()}
                add_entry(conn, now, incident_id, "approval-requested", "respond", detail)
            if asked.decision is None:
                move(conn, now, incident_id, State.AWAITING_APPROVAL, "respond")
        return asked

    def decide(
        self,
        incident_id: int,
        plan_digest: str,
        decision: Decision,
        by: str,
        comment: str,
        steps: Sequence[str],
    ) -> Asked:
        """Record a decision and, with it, the state of the plan's steps (digests) that needed one.

        Returns what stands: an earlier decision, if there is one. An approval after expiry counts as expired.
        """
        now = self._db.clock()
        with self._db.write() as conn:
            asked = self._locked(conn, incident_id, plan_digest)
            if asked.decision is not None:
                detail = {"decision": decision, "stands": asked.decision, "plan_digest": plan_digest}
                add_entry(conn, now, incident_id, "late-answer", by, detail)
                return asked
            if decision in (Decision.APPROVE, Decision.REFUSE) and now >= asked.expires_at:
                comment, by, decision = f"answered too late by {by}: {comment}", "firebreak", Decision.EXPIRED
            values = {"decision": decision, "decided_by": by, "decided_at": now, "comment": comment}
            conn.execute(approvals.update().where(approvals.c.id == asked.id).values(**values))
            outcome = Outcome.APPROVED if decision is Decision.APPROVE else Outcome.REFUSED
            conn.execute(
                ledger.update()
                .where(ledger.c.digest.in_(steps), ledger.c.state == Outcome.PLANNED)
                .values(state=outcome, updated_at=now)
            )
            detail = {"decision": decision, "plan_digest": plan_digest, "comment": comment}
            add_entry(conn, now, incident_id, "approval-decided", by, detail)
            return asked.model_copy(update=values)

    def of_plan(self, incident_id: int, plan_digest: str) -> Asked | None:
        return next((a for a in self.of_incident(incident_id) if a.plan_digest == plan_digest), None)

    def of_incident(self, incident_id: int) -> list[Asked]:
        return self._read(approvals.c.incident_id == incident_id)

    def _read(self, condition: sa.ColumnElement[bool]) -> list[Asked]:
        with self._db.read() as conn:
            rows = conn.execute(approvals.select().where(condition).order_by(approvals.c.id))
            return [Asked(**row._mapping) for row in rows]

    def _locked(self, conn: Connection, incident_id: int, plan_digest: str) -> Asked:
        query = approvals.select().where(approvals.c.incident_id == incident_id, approvals.c.plan_digest == plan_digest)
        return Asked(**conn.execute(query.with_for_update()).one()._mapping)
