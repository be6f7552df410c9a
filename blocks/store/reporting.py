"""What a detector's pass writes, in one transaction: findings, incidents, containment, position, lines set aside."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.allowed import count_kept
from firebreak.blocks.store.correlations import count_findings, save
from firebreak.blocks.store.database import Database, upsert
from firebreak.blocks.store.drift import JudgedWindow, Renewal, add_window, put_reference
from firebreak.blocks.store.holds import Hold
from firebreak.blocks.store.incidents import Incident, add_entry, move
from firebreak.blocks.store.leases import require
from firebreak.blocks.store.relations import (
    ANSWERED,
    FALSE_ALARM,
    MORE,
    called_harmless,
    point,
    pointed,
    related,
    reopen,
    reopens,
    suppress,
    tie,
)
from firebreak.blocks.store.schema import accused, findings, incidents, set_aside, sources, token_users
from firebreak.blocks.store.states import State
from firebreak.blocks.store.usage import JudgedUse, count, keep_judged, remember
from firebreak.blocks.store.votes import cast_votes, vote_again
from firebreak.blocks.store.watch import note_runs
from firebreak.detectors.correlations import Changes
from firebreak.detectors.findings import ActorType, Finding, Severity
from firebreak.detectors.rule import Correlation
from firebreak.detectors.usage.counter import UsageCounter

KEPT_ASIDE = 10_000  # malformed lines kept per source; beyond it they are only counted
KEPT_FINDINGS = 1_000  # stored per incident; beyond it they are only counted (critical ones are stored all the same)
HEARS_CAUSES = (State.OPEN, *ANSWERED, State.NEEDS_PERSON)  # elsewhere an answer is under way
UNCLEAR = (None, "unclear")  # causes that any other one replaces, and that replace none

logger = logging.getLogger("firebreak.store")


@dataclass(frozen=True)
class Aside:
    """A line that could not be read: where it is and why. ``excerpt`` is its first bytes."""

    offset: int
    length: int
    reason: str
    excerpt: bytes


@dataclass
class Batch:
    """What one pass found. ``lease`` (name, owner) makes the write void when somebody else has the source."""

    findings: list[Finding] = field(default_factory=list)
    token_users: set[tuple[str, str]] = field(default_factory=set)
    set_aside: list[Aside] = field(default_factory=list)
    source: str | None = None
    position: dict[str, Any] | None = None
    lease: tuple[str, str] | None = None
    windows: list[JudgedWindow] = field(default_factory=list)
    reference: Renewal | None = None
    allowed: dict[str, int] = field(default_factory=dict)  # findings kept back, by allow-list entry
    usage: UsageCounter | None = None
    judged_use: list[JudgedUse] = field(default_factory=list)
    runs_logged: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # run -> workflow, its last record
    runs_called: dict[str, str] = field(default_factory=dict)  # run -> workflow, of which the guard saw a call
    over_findings: tuple[Correlation, ...] = ()  # the rule set's, which count what is stored here for the first time
    correlations: Changes = field(default_factory=Changes)  # what the pass has counted over records


@dataclass
class Report:
    """What the store made of a batch."""

    new: int = 0
    repeated: int = 0
    suppressed: int = 0  # about records that a person has called harmless
    opened: list[tuple[int, Severity]] = field(default_factory=list)
    contained: list[Hold] = field(default_factory=list)


def report(db: Database, batch: Batch, seen_by: str) -> Report:
    """Write a batch. Errors: LeaseLost (nothing was written), StoreUnavailable."""
    result, now = Report(), db.clock()
    with db.write() as conn:
        db.order_reports(conn)
        if batch.lease:
            require(conn, now, *batch.lease)
        if pairs := [
            {"token_id": token, "user": user, "last_seen_at": now} for token, user in sorted(batch.token_users)
        ]:
            row = db.insert(token_users)
            seen = {"last_seen_at": row.excluded.last_seen_at}
            conn.execute(row.on_conflict_do_update(index_elements=["token_id", "user"], set_=seen), pairs)
        new = [finding for finding in batch.findings if write_finding(db, conn, now, finding, seen_by, result)]
        for finding in count_findings(db, conn, now, batch.over_findings, new):
            write_finding(db, conn, now, finding, seen_by, result)
        save(db, conn, now, batch.correlations)
        count_kept(db, conn, now, batch.allowed, seen_by)
        if batch.reference is not None:
            put_reference(conn, now, batch.reference)
        for window in batch.windows:
            if not add_window(db, conn, now, window):
                told = window.dataset, window.first_record, window.last_record
                logger.warning("dataset %s: window %s to %s was written before; it stays as it was", *told)
        if batch.usage is not None:
            count(db, conn, now, batch.usage)
            remember(db, conn, now, batch.usage.uses)
        keep_judged(conn, batch.judged_use)
        note_runs(db, conn, now, batch.runs_logged, batch.runs_called)
        if batch.source is not None:
            _keep_position(db, conn, now, batch)
    return result


def write_finding(
    db: Database, conn: Connection, now: datetime, finding: Finding, seen_by: str, result: Report
) -> bool:
    """Store a finding with all that follows; False where it was there already, or a person has called it harmless.

    Part of a transaction that has ordered itself among the reports.
    """
    known = conn.execute(sa.select(findings.c.seen_by).where(findings.c.key == finding.key)).scalar()
    if known is not None:
        if seen_by not in known:
            seen = {**known, seen_by: now.isoformat()}
            conn.execute(findings.update().where(findings.c.key == finding.key).values(seen_by=seen))
        if hold := vote_again(conn, now, finding, seen_by):
            result.contained.append(hold)
        result.repeated += 1
        return False
    former = pointed(conn, finding)
    if former and called_harmless(conn, former, finding):
        suppress(db, conn, now, former.id, FALSE_ALARM)
        result.suppressed += 1
        return False
    joined = _join(conn, now, finding, former, result)
    incident_id, count = joined or (_open(conn, now, finding, former, result), 1)
    tie(conn, now, finding, incident_id)
    if finding.actor_type is not ActorType.DATASET:
        record = {"incident_id": incident_id, "record_id": finding.record_id}
        conn.execute(upsert(accused, (*record,)), record)
    if count <= KEPT_FINDINGS or finding.severity.rank >= Severity.CRITICAL.rank:
        conn.execute(
            findings.insert().values(
                key=finding.key,
                incident_id=incident_id,
                severity=finding.severity.rank,
                body=finding.model_dump(mode="json"),
                record_time=finding.time,
                found_at=now,
                seen_by={seen_by: now.isoformat()},
            )
        )
    else:
        suppress(db, conn, now, incident_id, MORE)
    result.new += 1
    if hold := cast_votes(conn, now, finding, incident_id, seen_by):
        result.contained.append(hold)
    return True


def _join(
    conn: Connection, now: datetime, finding: Finding, former: Incident | None, result: Report
) -> tuple[int, int] | None:
    """The incident this finding belongs to, updated, and its findings; None when it needs one of its own."""
    incident, own = former, True  # own: what comes after this finding with its fingerprint follows it
    if former is None or former.closed:
        if former and reopens(former, finding, now):
            incident = reopen(conn, now, former, finding)
            result.opened.append((incident.id, finding.severity))
        else:
            incident, own = related(conn, now, finding) or (None, False)
    if incident is None:
        return None
    graver = finding.severity.rank > incident.severity.rank
    if graver and incident.state not in (State.OPEN, *ANSWERED):
        return None  # a graver trouble is never swallowed by an answer already under way
    columns: dict[str, Any] = {"findings": incidents.c.findings + 1, "last_seen_at": now}
    columns["atlas"] = sorted({*incident.atlas, *finding.atlas})
    columns["owasp"] = sorted({*incident.owasp, *finding.owasp})
    other_cause = _other_cause(incident, finding)
    if graver:
        columns |= {"severity": finding.severity.rank, "kind": finding.kind, "title": finding.title}
        raised = {"to": finding.severity, "by": finding.rule}
        add_entry(conn, now, incident.id, "severity-raised", "firebreak", raised)
    if other_cause:
        columns |= {"cause": finding.cause}
        told = {"cause": finding.cause, "was": incident.cause}
        add_entry(conn, now, incident.id, "cause-found", "firebreak", told)
    if graver or other_cause:
        if incident.state is not State.OPEN:
            move(conn, now, incident.id, State.OPEN, "firebreak")
        result.opened.append((incident.id, finding.severity))
    changed = incidents.update().where(incidents.c.id == incident.id).values(**columns)
    count: int = conn.execute(changed.returning(incidents.c.findings)).scalar_one()
    if own and incident is not former:
        point(conn, finding.fingerprint, incident.id)
    return incident.id, count


def _other_cause(incident: Incident, finding: Finding) -> bool:
    """Whether the finding knows a cause that nothing has answered yet.

    While an answer is under way none is heard: the next window's finding names it again.
    """
    if finding.cause in UNCLEAR or incident.state not in HEARS_CAUSES:
        return False
    answered = (incident.triage or {}).get("cause", incident.cause) if incident.state in ANSWERED else incident.cause
    return bool(finding.cause != answered)


def _open(conn: Connection, now: datetime, finding: Finding, former: Incident | None, result: Report) -> int:
    incident_id: int = conn.execute(
        incidents.insert()
        .values(
            kind=finding.kind,
            title=finding.title,
            workflow=finding.workflow,
            actor_type=finding.actor_type,
            actor=finding.actor,
            severity=finding.severity.rank,
            state=State.OPEN,
            cause=finding.cause,
            atlas=sorted(finding.atlas),
            owasp=sorted(finding.owasp),
            findings=1,
            related_to=former.id if former else None,
            opened_at=now,
            last_seen_at=now,
            updated_at=now,
            attempts=0,
        )
        .returning(incidents.c.id)
    ).scalar_one()
    add_entry(conn, now, incident_id, State.OPEN, "firebreak", {"rule": finding.rule})
    point(conn, finding.fingerprint, incident_id)
    result.opened.append((incident_id, finding.severity))
    return incident_id


def _keep_position(db: Database, conn: Connection, now: datetime, batch: Batch) -> None:
    row = db.insert(sources).values(
        source=batch.source, position=batch.position, set_aside=len(batch.set_aside), updated_at=now
    )
    total: int = conn.execute(
        row.on_conflict_do_update(
            index_elements=["source"],
            set_={
                "position": row.excluded.position,
                "set_aside": sources.c.set_aside + len(batch.set_aside),
                "updated_at": now,
            },
        ).returning(sources.c.set_aside)
    ).scalar_one()
    room = max(0, KEPT_ASIDE - (total - len(batch.set_aside)))
    if rows := [
        {
            "source": batch.source,
            "offset": aside.offset,
            "length": aside.length,
            "reason": aside.reason[:500],
            "excerpt": aside.excerpt[:200].decode("ascii", "backslashreplace").replace("\0", "\\x00"),
            "at": now,
        }
        for aside in batch.set_aside[:room]
    ]:
        conn.execute(set_aside.insert(), rows)
