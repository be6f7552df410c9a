"""How much may be done without asking: a budget an action, and a breaker over all of them.

Counted in the transaction that allows the step, behind the lock that orders reports, so that however many responders
there are, they can't overrun it together. What is over is not lost: its step waits for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.incidents import Incident, add_entry, move, read_incident
from firebreak.blocks.store.leases import Lease, require
from firebreak.blocks.store.ledger import Row, Step, plan_digest
from firebreak.blocks.store.relations import suppress
from firebreak.blocks.store.reporting import Report, write_finding
from firebreak.blocks.store.response_schema import automatic, suppressed
from firebreak.blocks.store.schema import incidents, ledger
from firebreak.blocks.store.states import CLOSED, State
from firebreak.detectors.findings import ActorType, Evidence, Finding, Severity

HALTED = "automation-halted"  # the kind of the breaker's own incident: while one is open, automation is halted
TO_APPROVAL = "to-approval"  # steps that were turned to approval, counted on that incident


class Budget(BaseModel):
    """How often an action may run without asking; None: as often as it likes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hour: int | None = Field(default=None, ge=0)
    day: int | None = Field(default=None, ge=0)


class Breaker(BaseModel):
    """When all automation stops itself, and what it never stops."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    actions: int = Field(default=30, ge=1, description="automatic actions within the window; one more halts them all")
    minutes: float = Field(default=10, gt=0, description="the window")
    quiet_minutes: float = Field(default=60, gt=0, description="it resets by itself when nothing wanted to act so long")
    spares: tuple[str, ...] = Field(default=("notify-team",), description="not counted and not halted: messages")


@dataclass(frozen=True)
class Limits:
    """What the policy says about automatic actions."""

    budgets: Mapping[str, Budget] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)


class Automation:
    """Allowing automatic steps, and the breaker."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def allow(self, lease: Lease, row: Row, limits: Limits) -> str | None:
        """None: this planned step may run now, and is counted. Otherwise why a person must be asked: the step, and the
        plan it is part of, have been made stricter.

        Errors: LeaseLost.
        """
        now = self._db.clock()
        with self._db.write() as conn:
            self._db.order_reports(conn)
            require(conn, now, lease.name, lease.owner)
            before = automatic.c.digest == row.digest, automatic.c.attempt == row.attempts
            if conn.execute(sa.select(automatic.c.id).where(*before)).first():
                return None  # a run died between this and its deed
            why = _over_budget(conn, now, row.action, limits) or self._halted(conn, now, row.action, limits)
            if why is None:
                counted = {"digest": row.digest, "attempt": row.attempts, "action": row.action, "at": now}
                conn.execute(automatic.insert().values(incident_id=row.incident_id, **counted))
            else:
                _ask_a_person(conn, now, row, why)
        return why

    def look(self, limits: Limits) -> Report:
        """Halt automation if it has acted too often, whoever did: detectors' quarantines count as well."""
        now, report = self._db.clock(), Report()
        with self._db.write() as conn:
            self._db.order_reports(conn)
            if _halt(conn) is None and _acted(conn, now, limits.breaker) > limits.breaker.actions:
                self._trip(conn, now, limits.breaker, report)
        return report

    def halted(self) -> Incident | None:
        """The incident that halts all automation; None: it isn't halted."""
        with self._db.read() as conn:
            return _halt(conn)

    def reset_if_quiet(self, limits: Limits) -> Incident | None:
        """Close the breaker's incident after its quiet time; the incident that was closed."""
        now = self._db.clock()
        quiet = now - timedelta(minutes=limits.breaker.quiet_minutes)
        with self._db.write() as conn:
            self._db.order_reports(conn)
            halt = _halt(conn)
            last = conn.execute(sa.select(sa.func.max(automatic.c.at)).where(*_counted(limits.breaker))).scalar()
            if halt is None or halt.last_seen_at > quiet or (last is not None and last > quiet):
                return None
            move(conn, now, halt.id, State.RESOLVED, "reconcile")
        return halt

    def suppressed(self, incident_id: int) -> dict[str, int]:
        """What was counted on this incident and not kept, by its reason."""
        query = sa.select(suppressed.c.why, suppressed.c.count).where(suppressed.c.incident_id == incident_id)
        with self._db.read() as conn:
            return {why: count for why, count in conn.execute(query.order_by(suppressed.c.why))}

    def _halted(self, conn: Connection, now: datetime, action: str, limits: Limits) -> str | None:
        breaker = limits.breaker
        if action in breaker.spares:
            return None
        halt = _halt(conn)
        if halt is None and _acted(conn, now, breaker) >= breaker.actions:
            self._trip(conn, now, breaker, Report())
            halt = _halt(conn)
        if halt is None:
            return None
        conn.execute(incidents.update().where(incidents.c.id == halt.id).values(last_seen_at=now))
        suppress(self._db, conn, now, halt.id, TO_APPROVAL)
        return (
            f"automation is halted (incident {halt.id}): more than {breaker.actions} actions in {breaker.minutes:g} min"
        )

    def _trip(self, conn: Connection, now: datetime, breaker: Breaker, report: Report) -> None:
        write_finding(self._db, conn, now, _finding(now, breaker), "firebreak", report)


def _over_budget(conn: Connection, now: datetime, action: str, limits: Limits) -> str | None:
    budget = limits.budgets.get(action) or limits.budgets.get(action.split("/")[0]) or Budget()
    for most, span, word in ((budget.hour, timedelta(hours=1), "an hour"), (budget.day, timedelta(days=1), "a day")):
        if most is not None and _count(conn, automatic.c.action == action, automatic.c.at > now - span) >= most:
            return f"over budget: {most} {action} {word} may run without asking"
    return None


def _acted(conn: Connection, now: datetime, breaker: Breaker) -> int:
    """Actions in the window, since a person (or quiet) last reset the breaker."""
    closed = incidents.c.kind == HALTED, incidents.c.state.in_(CLOSED)
    reset = conn.execute(sa.select(sa.func.max(incidents.c.closed_at)).where(*closed)).scalar()
    window = now - timedelta(minutes=breaker.minutes)
    return _count(conn, *_counted(breaker), automatic.c.at > max(window, reset or window))


def _counted(breaker: Breaker) -> tuple[sa.ColumnElement[bool], ...]:
    return (automatic.c.action.not_in(breaker.spares),)


def _count(conn: Connection, *conditions: sa.ColumnElement[bool]) -> int:
    return int(conn.execute(sa.select(sa.func.count()).select_from(automatic).where(*conditions)).scalar_one())


def _halt(conn: Connection) -> Incident | None:
    query = incidents.select().where(incidents.c.kind == HALTED, incidents.c.state.not_in(CLOSED))
    row = conn.execute(query.order_by(incidents.c.id).limit(1)).one_or_none()
    return read_incident(row) if row else None


def _ask_a_person(conn: Connection, now: datetime, row: Row, why: str) -> None:
    """The plan becomes a stricter one with a digest of its own: what was decided about the former isn't about this."""
    mine = incidents.c.id == row.incident_id
    triage = conn.execute(sa.select(incidents.c.triage).where(mine).with_for_update()).scalar_one() or {}
    conn.execute(ledger.update().where(ledger.c.digest == row.digest).values(approval="one", updated_at=now))
    if triage.get("steps"):
        steps = [Step(**step) for step in triage["steps"]]
        steps = [
            step.model_copy(update={"approval": "one"}) if step.digest(row.incident_id) == row.digest else step
            for step in steps
        ]
        stricter = {
            "steps": [step.model_dump(mode="json") for step in steps],
            "plan_digest": plan_digest(row.incident_id, steps, triage.get("round", 0)),
        }
        conn.execute(incidents.update().where(mine).values(triage={**triage, **stricter}))
    detail = {"action": row.action, "target": row.target, "why": why}
    add_entry(conn, now, row.incident_id, "turned-to-approval", "firebreak", detail)


def _finding(now: datetime, breaker: Breaker) -> Finding:
    told = f"more than {breaker.actions} automatic actions in {breaker.minutes:g} minutes"
    return Finding(
        rule="automation-breaker",
        kind=HALTED,
        title=f"Automation has halted itself: {told}",
        severity=Severity.HIGH,
        workflow="firebreak",
        actor_type=ActorType.WORKFLOW,
        actor="automation",
        record_id=f"automation@{now.isoformat()}",
        time=now,
        evidence=(Evidence(field="actions", excerpt=f"{told}; every further step waits for a person"),),
        runbook=(
            "Open the incidents of the window's minutes: is it one attack, or a rule that is wrong?",
            "Look at what the last actions did in the hour before, and undo with `release` what should not stand.",
            "Release this incident as resolved: automation acts again from that moment.",
        ),
    )
