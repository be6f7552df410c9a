"""The ledger: one row per action digest. What was planned, approved, attempted, and what a probe saw afterwards."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, get_args

import sqlalchemy as sa
from pydantic import BaseModel, Field

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.incidents import add_entry, canonical
from firebreak.blocks.store.leases import Lease, require
from firebreak.blocks.store.schema import incidents, ledger
from firebreak.blocks.store.states import CLOSED

Approval = Literal["auto", "one", "two"]  # nobody is asked, a person, two different people
OnFailure = Literal["stop", "go-on", "undo"]


class Outcome(StrEnum):
    """How far an action is known to have come. Never more than is known."""

    PLANNED = "planned"
    APPROVED = "approved"
    REFUSED = "refused"
    ATTEMPTED = "attempted"  # apply was called or was about to be: only a probe can tell
    SUCCEEDED = "succeeded"  # an independent probe saw the effect
    FAILED = "failed"  # the probe says the effect isn't there
    UNKNOWN = "unknown"  # no probe could tell
    UNDONE = "undone"  # an undo succeeded


TRIED = frozenset({Outcome.ATTEMPTED, Outcome.FAILED, Outcome.UNKNOWN})
SETTLED = frozenset({Outcome.REFUSED, Outcome.SUCCEEDED, Outcome.UNDONE})


class Step(BaseModel):
    """One action of a plan, as data. ``target`` and ``parameters`` are all that apply will be told."""

    action: str
    target: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    title: str
    approval: Approval = "auto"
    undo_of: str | None = None
    expires_after: int | None = Field(default=None, gt=0, description="seconds it stands; `reconcile` undoes it then")

    def digest(self, incident_id: int) -> str:
        """SHA-256 of the canonical JSON of incident, action, target, parameters and, where it has one, its end."""
        body = [incident_id, self.action, self.target, self.parameters, self.undo_of]
        body += [] if self.expires_after is None else [self.expires_after]
        return hashlib.sha256(canonical(body).encode()).hexdigest()

    def same_effect(self, other: "Step", within: Sequence[str] | None = None) -> bool:
        """Whether both are about the same thing at the same target, whatever else is said of them.

        ``within``: the parameters that say so, as an action's `effect` has them; None: all.
        """
        return self._effect(within) == other._effect(within)

    def _effect(self, within: Sequence[str] | None) -> str:
        told = self.parameters if within is None else {name: self.parameters.get(name) for name in within}
        return canonical([self.action, self.target, told])


def plan_digest(incident_id: int, steps: Sequence[Step], round: int = 0) -> str:
    """What an approver approves: every step, in order, with the approval it needs.

    ``round`` counts the incident's triages: a decision about an earlier plan is none about this one.
    """
    body = [round, [[step.digest(incident_id), step.approval] for step in steps]]
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def strictest(*approvals: Approval) -> Approval:
    """The one of these that asks the most people; ``auto`` of none."""
    return max(approvals, key=get_args(Approval).index, default="auto")


class Row(BaseModel):
    """A ledger row."""

    digest: str
    incident_id: int
    position: int
    action: str
    target: str
    parameters: dict[str, Any]
    title: str
    approval: Approval
    state: Outcome
    former: dict[str, Any] | None
    probe: dict[str, Any] | None
    error: str | None
    attempts: int
    undo_of: str | None
    expires_after: int | None
    ends_at: datetime | None = Field(description="when it is to be undone")
    decided_by: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def step(self) -> Step:
        return Step(
            action=self.action,
            target=self.target,
            parameters=self.parameters,
            title=self.title,
            approval=self.approval,
            undo_of=self.undo_of,
            expires_after=self.expires_after,
        )


class Ledger:
    """Every write takes the holder's lease with it, so a holder that lost its lease can't write."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def enter(self, incident_id: int, steps: Sequence[Step]) -> list[Row]:
        """Write the plan; a step already in the ledger stays as it is. Returns the plan's rows, in order."""
        now = self._db.clock()
        with self._db.write() as conn:
            for position, step in enumerate(steps):
                conn.execute(
                    self._db.insert(ledger)
                    .values(
                        **step.model_dump(),
                        digest=step.digest(incident_id),
                        incident_id=incident_id,
                        position=position,
                        state=Outcome.PLANNED,
                        attempts=0,
                        created_at=now,
                        updated_at=now,
                    )
                    .on_conflict_do_nothing()
                )
        rows = {row.digest: row for row in self.rows(incident_id)}
        return [rows[step.digest(incident_id)] for step in steps]

    def replan(self, incident_id: int, steps: Sequence[Step]) -> None:
        """A new triage: what is not done is planned anew, whatever was decided about it before."""
        now = self._db.clock()
        with self._db.write() as conn:
            for step in steps:
                row = ledger.c.digest == step.digest(incident_id)
                again = ledger.c.state.in_([Outcome.PLANNED, Outcome.APPROVED, Outcome.REFUSED, Outcome.UNDONE])
                values = {"state": Outcome.PLANNED, "approval": step.approval, "title": step.title, "decided_by": None}
                found = conn.execute(sa.select(ledger.c.state).where(row)).scalar()
                conn.execute(ledger.update().where(row, again).values(**values, updated_at=now))
                if found == Outcome.UNDONE:  # done again, it can be undone again, to what it is then
                    conn.execute(ledger.update().where(row).values(former=sa.null(), ends_at=sa.null()))
                    undo = ledger.c.undo_of == step.digest(incident_id)
                    conn.execute(ledger.update().where(undo).values(state=Outcome.PLANNED, updated_at=now))

    def rows(self, incident_id: int) -> list[Row]:
        query = (
            ledger.select().where(ledger.c.incident_id == incident_id).order_by(ledger.c.created_at, ledger.c.position)
        )
        with self._db.read() as conn:
            return [Row(**row._mapping) for row in conn.execute(query)]

    def row(self, digest: str) -> Row:
        with self._db.read() as conn:
            return Row(**conn.execute(ledger.select().where(ledger.c.digest == digest)).one()._mapping)

    def at_their_end(self) -> list[int]:
        """Incidents with a step whose end has come, the longest overdue first."""
        over = ledger.c.ends_at <= self._db.clock(), ledger.c.state.in_([Outcome.SUCCEEDED, Outcome.UNKNOWN])
        query = sa.select(ledger.c.incident_id).where(*over).group_by(ledger.c.incident_id)
        with self._db.read() as conn:
            return list(conn.execute(query.order_by(sa.func.min(ledger.c.ends_at))).scalars())

    def undo_tried(self, digest: str) -> bool:
        """Whether somebody began to undo this row and didn't come to an end."""
        tried = ledger.c.undo_of == digest, ledger.c.state.in_(TRIED)
        with self._db.read() as conn:
            return conn.execute(sa.select(ledger.c.digest).where(*tried)).first() is not None

    def attempt(self, lease: Lease, row: Row, former: dict[str, Any]) -> None:
        """Say that apply is about to be called. The state before the first attempt is the one undo restores."""
        self._write(
            lease,
            row,
            Outcome.ATTEMPTED,
            {"attempts": row.attempts + 1},
            former=sa.func.coalesce(ledger.c.former, sa.type_coerce(former, ledger.c.former.type)),
            attempts=ledger.c.attempts + 1,
        )

    def inherit(self, lease: Lease, row: Row, effect: Sequence[str]) -> None:
        """An effect that another open incident brought about: what it was before that is what undo goes back to.
        ``effect``: the parameters in which that one's step is the same.

        Else, of several incidents that want one effect, the last to be released would find that it did nothing itself.
        """
        theirs = ledger.c.action == row.action, ledger.c.target == row.target, ledger.c.incident_id != row.incident_id
        there = ledger.c.state == Outcome.SUCCEEDED, ledger.c.undo_of.is_(None), ledger.c.former.is_not(sa.null())
        query = ledger.select().join(incidents, incidents.c.id == ledger.c.incident_id)
        query = query.where(*theirs, *there, incidents.c.state.not_in(CLOSED)).order_by(ledger.c.created_at)
        with self._db.write() as conn:
            require(conn, self._db.clock(), lease.name, lease.owner)
            found = [Row(**each._mapping) for each in conn.execute(query)]
            former = next((one.former for one in found if one.former and one.step.same_effect(row.step, effect)), None)
            if former:
                conn.execute(ledger.update().where(ledger.c.digest == row.digest).values(former=former))

    def settle(
        self, lease: Lease, row: Row, outcome: Outcome, probe: dict[str, Any] | None, error: str | None = None
    ) -> None:
        """Say what the probe saw. The time of a step that expires runs from when its effect is there, or may be."""
        columns: dict[str, Any] = {"probe": probe, "error": error}
        if outcome in (Outcome.SUCCEEDED, Outcome.UNKNOWN) and row.expires_after:
            end = sa.literal(self._db.clock() + timedelta(seconds=row.expires_after), ledger.c.ends_at.type)
            columns["ends_at"] = sa.func.coalesce(ledger.c.ends_at, end)
        self._write(lease, row, outcome, {"probe": probe, "error": error}, **columns)

    def _write(self, lease: Lease, row: Row, outcome: Outcome, detail: dict[str, Any], **columns: Any) -> None:
        now = self._db.clock()
        with self._db.write() as conn:
            require(conn, now, lease.name, lease.owner)
            changed = (
                ledger.update().where(ledger.c.digest == row.digest).values(state=outcome, updated_at=now, **columns)
            )
            conn.execute(changed)
            if outcome is Outcome.SUCCEEDED and row.undo_of:
                undone = ledger.update().where(ledger.c.digest == row.undo_of)
                conn.execute(undone.values(state=Outcome.UNDONE, updated_at=now))
            detail = {"action": row.action, "target": row.target, **detail}
            add_entry(conn, now, row.incident_id, f"action-{outcome}", lease.owner, detail)
