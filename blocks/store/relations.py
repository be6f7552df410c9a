"""Which incident a finding belongs to: the same trouble's, open or just closed, or a related one's.

A different user is always a different trouble: their findings never meet in one incident, so nobody's containment
hangs on what another did. What is related and not lesser gets an incident, and thus an answer, of its own.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database, upsert
from firebreak.blocks.store.incidents import Incident, add_entry, move, read_incident
from firebreak.blocks.store.response_schema import suppressed, ties
from firebreak.blocks.store.schema import findings, fingerprints, incidents, token_users
from firebreak.blocks.store.states import State
from firebreak.detectors.findings import ActorType, Finding

RELATED = timedelta(minutes=10)  # other trouble of the same actor, flow run or token within this joins the incident
REOPENED = timedelta(hours=1)  # the same trouble this soon after it was resolved was not resolved
SHARED_TOKEN = timedelta(hours=24)  # a token seen with two users within this is not one person's
ANSWERED = (State.TRIAGED, State.CONTAINED)  # states that a graver finding, or another cause, sends back to triage
ONE_PERSON = (ActorType.USER, ActorType.TOKEN)
# Why a finding was counted on an incident and not kept.
FALSE_ALARM = "false-alarm"  # a person has called this very record harmless
MORE = "more-than-kept"
_SEEN_AGAIN = "(tie, incident_id) DO UPDATE SET last_seen_at = excluded.last_seen_at"


def pointed(conn: Connection, finding: Finding) -> Incident | None:
    """The newest incident of the finding's fingerprint, open or closed."""
    query = incidents.select().join(fingerprints, fingerprints.c.incident_id == incidents.c.id)
    same = fingerprints.c.fingerprint == finding.fingerprint
    row = conn.execute(query.where(same).with_for_update(of=incidents)).one_or_none()
    return read_incident(row) if row else None


def point(conn: Connection, fingerprint: str, incident_id: int) -> None:
    """Reports are ordered, so delete-then-insert can't meet another writer."""
    conn.execute(fingerprints.delete().where(fingerprints.c.fingerprint == fingerprint))
    conn.execute(fingerprints.insert().values(fingerprint=fingerprint, incident_id=incident_id))


def called_harmless(conn: Connection, former: Incident | None, finding: Finding) -> bool:
    """Whether a person has looked at this very record and called the same trouble in it a false alarm.

    A graver claim about it is news, and so is another record, whatever id it carries: an id may be used again.
    """
    if former is None or former.state is not State.FALSE_POSITIVE or finding.severity.rank > former.severity.rank:
        return False
    judged = findings.c.incident_id == former.id, findings.c.record_time == finding.time
    ids = conn.execute(sa.select(findings.c.body["record_id"].as_string()).where(*judged)).scalars()
    return finding.record_id in ids


def suppress(db: Database, conn: Connection, now: datetime, incident_id: int, why: str) -> None:
    """Count what is not kept, on the incident whose page says so."""
    row = db.insert(suppressed).values(incident_id=incident_id, why=why, count=1, last_at=now)
    more = {"count": suppressed.c.count + 1, "last_at": now}
    conn.execute(row.on_conflict_do_update(index_elements=["incident_id", "why"], set_=more))


def reopens(former: Incident | None, finding: Finding, now: datetime) -> bool:
    """Whether the finding says that a resolved trouble goes on. A lesser one doesn't: anyone may be able to cause it.

    A dataset's incident stays closed: its remedies stand in its ledger, and a new drift needs new ones.
    """
    return (
        former is not None
        and former.state is State.RESOLVED
        and former.closed_at is not None
        and now - former.closed_at < REOPENED
        and finding.severity.rank >= former.severity.rank
        and finding.actor_type is not ActorType.DATASET
    )


def reopen(conn: Connection, now: datetime, incident: Incident, finding: Finding) -> Incident:
    """Back to open; nothing holds any more, since closing lifted it."""
    move(conn, now, incident.id, State.OPEN, "firebreak", closed_at=None, contained_at=None)
    add_entry(conn, now, incident.id, "reopened", "firebreak", {"rule": finding.rule})
    return incident.model_copy(update={"state": State.OPEN, "closed_at": None, "contained_at": None})


def related(conn: Connection, now: datetime, finding: Finding) -> tuple[Incident, bool] | None:
    """Other trouble close in time that no answer is under way for, and whether it is the same actor's."""
    near = (
        incidents.c.workflow == finding.workflow,
        incidents.c.state.in_([State.OPEN, *ANSWERED]),
        incidents.c.last_seen_at >= now - RELATED,
    )
    gravest = incidents.c.severity.desc(), incidents.c.id
    theirs = incidents.c.actor_type == finding.actor_type, incidents.c.actor == finding.actor
    query = incidents.select().where(*near, *theirs).order_by(*gravest).limit(1).with_for_update()
    if row := conn.execute(query).one_or_none():
        return read_incident(row), True
    if not (names := ties_of(finding)):
        return None
    tied = ties.c.tie.in_(names), ties.c.last_seen_at >= now - RELATED
    others = incidents.c.actor_type.not_in([finding.actor_type, ActorType.DATASET])
    joins = incidents.c.severity > finding.severity.rank
    if finding.actor_type in ONE_PERSON and _is_one_persons(conn, now, finding.token_id):
        joins |= incidents.c.actor_type.in_(ONE_PERSON) & (ties.c.tie == f"token:{finding.token_id}")
    query = incidents.select().join(ties, ties.c.incident_id == incidents.c.id).where(*near, *tied, others, joins)
    row = conn.execute(query.order_by(*gravest).limit(1).with_for_update(of=incidents)).one_or_none()
    return (read_incident(row), False) if row else None


def tie(conn: Connection, now: datetime, finding: Finding, incident_id: int) -> None:
    """Keep which run and token the finding was about, for those that come after it."""
    if rows := [{"tie": name, "incident_id": incident_id, "last_seen_at": now} for name in ties_of(finding)]:
        conn.execute(upsert(ties, (*rows[0],), _SEEN_AGAIN), rows)


def ties_of(finding: Finding) -> list[str]:
    if finding.actor_type is ActorType.DATASET:
        return []
    named = {"run": finding.flow_run_id, "token": finding.token_id}
    return [f"{what}:{name}" for what, name in named.items() if name]


def users_of(conn: Connection, now: datetime, token_id: str) -> int:
    """How many users a token was seen with lately."""
    query = sa.select(sa.func.count()).select_from(token_users)
    recent = token_users.c.token_id == token_id, token_users.c.last_seen_at >= now - SHARED_TOKEN
    return int(conn.execute(query.where(*recent)).scalar_one())


def _is_one_persons(conn: Connection, now: datetime, token_id: str | None) -> bool:
    return token_id is not None and users_of(conn, now, token_id) == 1
