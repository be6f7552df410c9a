"""Who has said what against an actor, by incident; enough votes quarantine the actor in the same transaction."""

from datetime import datetime
from typing import cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import upsert
from firebreak.blocks.store.detection_schema import votes
from firebreak.blocks.store.holds import Hold, HoldKind, add_hold
from firebreak.blocks.store.incidents import add_entry
from firebreak.blocks.store.relations import users_of
from firebreak.blocks.store.response_schema import automatic
from firebreak.blocks.store.schema import findings, incidents
from firebreak.blocks.store.states import CLOSED
from firebreak.detectors.containment import counts, narrowest
from firebreak.detectors.findings import ActorType, Finding, Severity

_GRAVER = (
    "(incident_id, fingerprint, vote) DO UPDATE SET severity = excluded.severity "
    "WHERE votes.severity < excluded.severity"
)


def cast_votes(conn: Connection, now: datetime, finding: Finding, incident_id: int, seen_by: str) -> Hold | None:
    """Keep a finding's votes and quarantine the narrowest actor they are enough for; the hold, where it is new."""
    if not counts(finding):
        return None
    about = {"incident_id": incident_id, "fingerprint": finding.fingerprint, "severity": finding.severity.rank}
    if rows := [{**about, "vote": vote} for vote in finding.votes]:
        conn.execute(upsert(votes, (*rows[0],), _GRAVER), rows)
    given = _given(conn, incident_id, finding.fingerprint)
    users = users_of(conn, now, finding.actor) if finding.actor_type is ActorType.TOKEN else 0
    target = narrowest(finding, users, given)
    if target is None:
        return None
    hold = Hold(
        kind=cast(HoldKind, f"quarantine-{target.actor_type}"),
        target=target.actor,
        workflow=target.workflow,
        incident_id=incident_id,
        reason=finding.rule,
        since=now,
    )
    new = add_hold(conn, hold)
    if new:
        detail = {"kind": hold.kind, "target": hold.target, "votes": " + ".join(sorted(given))}
        add_entry(conn, now, incident_id, "quarantined", seen_by, detail)
        counted = {"incident_id": incident_id, "action": "quarantine-actor", "digest": None, "attempt": 0, "at": now}
        conn.execute(automatic.insert().values(**counted))
    conn.execute(
        incidents.update()
        .where(incidents.c.id == incident_id, incidents.c.contained_at.is_(None))
        .values(contained_at=now)
    )
    return hold if new else None


def vote_again(conn: Connection, now: datetime, finding: Finding, seen_by: str) -> Hold | None:
    """A finding that is stored already, seen again: a vote it lacked then counts now, unless its incident is closed."""
    row = conn.execute(
        sa.select(findings.c.incident_id, findings.c.body, incidents.c.state)
        .join(incidents, incidents.c.id == findings.c.incident_id)
        .where(findings.c.key == finding.key)
    ).one()
    had = row.body.get("votes") or []
    if row.state in CLOSED or set(finding.votes) <= set(had):
        return None
    body = {**row.body, "votes": sorted({*had, *finding.votes})}
    conn.execute(findings.update().where(findings.c.key == finding.key).values(body=body))
    return cast_votes(conn, now, finding, row.incident_id, seen_by)


def _given(conn: Connection, incident_id: int, fingerprint: str) -> dict[str, Severity]:
    query = sa.select(votes.c.vote, votes.c.severity).where(
        votes.c.incident_id == incident_id, votes.c.fingerprint == fingerprint
    )
    return {vote: list(Severity)[rank] for vote, rank in conn.execute(query)}
