"""Approvals: what was asked, by which runs, until when, whose answers came, and the one decision that counts."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.engine import Connection

from firebreak.blocks.store.approvers import Rejected, Verdict, enrolled_since, folded, identify
from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.incidents import add_entry, move
from firebreak.blocks.store.ledger import Outcome
from firebreak.blocks.store.response_schema import answers, notices
from firebreak.blocks.store.schema import approvals, incidents, ledger
from firebreak.blocks.store.states import State

Identity = Literal["totp", "none"]
UNIDENTIFIED = "(unidentified)"  # after a name that nobody's code vouches for; no name can hold brackets


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
    needed: int = Field(description="different people who must approve")
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None
    comment: str | None


class Answer(BaseModel):
    """What a person typed into the form, and when. ``source`` is the suspension that brought it: it is judged once."""

    model_config = ConfigDict(frozen=True)

    source: str
    typed_at: datetime
    decision: Literal["approve", "refuse"]
    name: str
    comment: str = ""
    code: SecretStr = SecretStr("")


class Judged(BaseModel):
    """An answer as kept: whose it was, and what became of it. ``why`` may be shown to anyone."""

    source: str
    person: str
    by: str
    decision: Literal["approve", "refuse"]
    verdict: Verdict
    why: str
    comment: str
    at: datetime


class Approvals:
    """Asking and deciding. The first decision stands; a later one changes nothing and is noted."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def ask(self, incident_id: int, plan_digest: str, run_id: str, expires_at: datetime, needed: int = 1) -> Asked:
        """Ask ``needed`` people, or ask again for the same plan by another run (its expiry stays the first one)."""
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
                    needed=needed,
                )
                .on_conflict_do_nothing(),
            )
            asked = self._locked(conn, incident_id, plan_digest)
            if run_id not in asked.runs:
                asked.runs.append(run_id)
                conn.execute(approvals.update().where(approvals.c.id == asked.id).values(runs=asked.runs))
            if new:
                detail = {"plan_digest": plan_digest, "expires_at": expires_at.isoformat(), "needed": needed}
                add_entry(conn, now, incident_id, "approval-requested", "respond", detail)
            if asked.decision is None:
                move(conn, now, incident_id, State.AWAITING_APPROVAL, "respond")
        return asked

    def answer(
        self,
        incident_id: int,
        plan_digest: str,
        answer: Answer,
        steps: Sequence[str],
        identity: Identity,
        key: str | None = None,
    ) -> Asked:
        """Judge a person's answer, once: who it was, whether it counts, and the decision if it brings one.

        One transaction: the code is used up exactly when the answer is recorded. ``key`` opens the approvers' seeds.
        Returns what stands. A rejected answer, and the first of two approvals, leave the request open.
        """
        now = self._db.clock()
        with self._db.write() as conn:
            asked = self._locked(conn, incident_id, plan_digest)
            earlier = _answers(conn, asked.id)
            if any(each.source == answer.source for each in earlier):
                return asked
            by, verdict, why = f"{answer.name} {UNIDENTIFIED}", Verdict.COUNTED, ""
            try:
                if asked.decision is not None:
                    raise Rejected(Verdict.LATE, f"the request had ended as {asked.decision}")
                if now >= asked.expires_at:
                    raise Rejected(Verdict.EXPIRED, "the request had expired")
                if identity == "totp":
                    by = identify(conn, now, answer.typed_at, answer.name, answer.code.get_secret_value(), key)
                given = _given(conn, earlier, identity)
                if answer.decision == "approve" and folded(answer.name) in {e.person for e in given}:
                    raise Rejected(Verdict.SAME_PERSON, f"{by} has approved already; it takes two different people")
            except Rejected as rejected:
                verdict, why = rejected.verdict, rejected.why
            typed = answer.model_dump(include={"source", "decision", "comment"})
            judged = Judged(person=folded(answer.name), by=by, verdict=verdict, why=why, at=now, **typed)
            conn.execute(answers.insert().values(approval_id=asked.id, **judged.model_dump()))
            conn.execute(incidents.update().where(incidents.c.id == incident_id).values(attempts=0))  # no run failed
            if verdict is Verdict.EXPIRED:
                return self._end(conn, asked, Decision.EXPIRED, "firebreak", f"answered too late by {by}", steps)
            if verdict is not Verdict.COUNTED:
                entry = "late-answer" if verdict is Verdict.LATE else "answer-rejected"
                detail = {"decision": answer.decision, "plan_digest": plan_digest, "why": why}
                add_entry(conn, now, incident_id, entry, by, detail)
                return asked
            if answer.decision == "refuse":
                return self._end(conn, asked, Decision.REFUSE, by, answer.comment, steps)
            together = [*given, judged]
            if len(together) >= asked.needed:
                names, said = " and ".join(e.by for e in together), "; ".join(e.comment for e in together if e.comment)
                return self._end(conn, asked, Decision.APPROVE, names, said, steps)
            detail = {"plan_digest": plan_digest, "comment": answer.comment, "given": f"1 of {asked.needed}"}
            add_entry(conn, now, incident_id, "approval-given", by, detail)
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
        What people typed into a form comes through ``answer``.
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
            return self._end(conn, asked, decision, by, comment, steps)

    def _end(
        self, conn: Connection, asked: Asked, decision: Decision, by: str, comment: str, steps: Sequence[str]
    ) -> Asked:
        now = self._db.clock()
        values = {"decision": decision, "decided_by": by, "decided_at": now, "comment": comment}
        conn.execute(approvals.update().where(approvals.c.id == asked.id).values(**values))
        outcome = Outcome.APPROVED if decision is Decision.APPROVE else Outcome.REFUSED
        conn.execute(
            ledger.update()
            .where(ledger.c.digest.in_(steps), ledger.c.state == Outcome.PLANNED)
            .values(state=outcome, decided_by=by, updated_at=now)
        )
        entry = "approval-expired" if decision is Decision.EXPIRED else "approval-decided"
        detail = {"decision": decision, "plan_digest": asked.plan_digest, "comment": comment}
        add_entry(conn, now, asked.incident_id, entry, by, detail)
        return asked.model_copy(update=values)

    def answers(self, approval_id: int) -> list[Judged]:
        """Every answer so far, in the order it came."""
        with self._db.read() as conn:
            return _answers(conn, approval_id)

    def given(self, approval_id: int, identity: Identity) -> list[Judged]:
        """The approvals so far that count, in the order they came."""
        with self._db.read() as conn:
            return _given(conn, _answers(conn, approval_id), identity)

    def claim_notice(self, asked: Asked, kind: str, channel: str) -> bool:
        """True for the one who is to send this notice; whoever dies while sending leaves it at ``attempted``."""
        row = self._db.insert(notices).values(
            approval_id=asked.id, kind=kind, channel=channel, state=Outcome.ATTEMPTED, at=self._db.clock()
        )
        with self._db.write() as conn:
            return wrote(conn, row.on_conflict_do_nothing())

    def settle_notice(self, asked: Asked, kind: str, state: Outcome, **detail: str) -> None:
        """Say how the sending went, on the timeline too."""
        this = notices.c.approval_id == asked.id, notices.c.kind == kind
        with self._db.write() as conn:
            conn.execute(notices.update().where(*this).values(state=state))
            told = {"notice": kind, "state": state, "plan_digest": asked.plan_digest, **detail}
            add_entry(conn, self._db.clock(), asked.incident_id, f"approval-{kind}", "reconcile", told)

    def unsettled_notices(self, asked: Asked, before: datetime) -> list[str]:
        """Notices that somebody was about to send before this time and never said how it went."""
        lost = notices.c.approval_id == asked.id, notices.c.state == Outcome.ATTEMPTED, notices.c.at < before
        with self._db.read() as conn:
            return list(conn.execute(sa.select(notices.c.kind).where(*lost)).scalars())

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


def _answers(conn: Connection, approval_id: int) -> list[Judged]:
    query = answers.select().where(answers.c.approval_id == approval_id).order_by(answers.c.id)
    return [Judged(**row._mapping) for row in conn.execute(query)]


def _given(conn: Connection, earlier: Sequence[Judged], identity: Identity) -> list[Judged]:
    """Approvals that still count: not those from before the policy asked for identity, nor a revoked person's."""
    counted = [each for each in earlier if each.verdict is Verdict.COUNTED]
    if identity == "none":
        return counted
    return [e for e in counted if not e.by.endswith(UNIDENTIFIED) and enrolled_since(conn, e.person, e.at)]
