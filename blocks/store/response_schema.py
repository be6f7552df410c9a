"""The incident store's tables about responding: approvers, their answers, notices, storms, alerts."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from firebreak.blocks.store.schema import Id, UtcTime, incident_column, metadata


def approval_column() -> Column[int]:
    return Column("approval_id", Id, ForeignKey("approvals.id", ondelete="CASCADE"), nullable=False)


approvers = Table(  # one row an enrolment; of those not revoked, one a person
    "approvers",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("person", Text, nullable=False),  # the name folded, so that "Ada" and "ADA" are one person
    Column("name", Text, nullable=False),
    Column("seed", Text, nullable=False),  # encrypted; the key is not in the store
    Column("last_step", BigInteger, nullable=False),  # of the newest code taken: it and older ones count no more
    Column("failures", Integer, nullable=False),  # wrong codes since the last right one
    Column("locked_until", UtcTime),
    Column("enrolled_at", UtcTime, nullable=False),
    Column("enrolled_by", Text, nullable=False),
    Column("revoked_at", UtcTime),
    Column("revoked_by", Text),
    Index(
        "ux_approvers_enrolled",
        "person",
        unique=True,
        sqlite_where=text("revoked_at IS NULL"),
        postgresql_where=text("revoked_at IS NULL"),
    ),
)

answers = Table(  # every answer a form brought, judged once; codes are not kept
    "answers",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    approval_column(),
    Column("source", Text, nullable=False),  # the run and its suspension that brought it
    Column("person", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    UniqueConstraint("approval_id", "source"),
)

notices = Table(  # reminders and escalations; written before the message is sent, so none is sent twice
    "notices",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    approval_column(),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    UniqueConstraint("approval_id", "kind"),
)

ties = Table(  # the flow runs and tokens that an incident's findings were about
    "ties",
    metadata,
    Column("tie", Text, nullable=False),  # run:<id>, token:<id>
    incident_column(),
    Column("last_seen_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("tie", "incident_id"),
    Index("ix_ties_incident", "incident_id"),
)

suppressed = Table(  # what was counted and not kept
    "suppressed",
    metadata,
    incident_column(),
    Column("why", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("incident_id", "why"),
)

automatic = Table(  # every action that nobody was asked about: what budgets and breaker count
    "automatic",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    incident_column(),
    Column("action", Text, nullable=False),
    Column("digest", Text),  # the ledger's row; null: written by detectors, in the finding's transaction
    Column("attempt", Integer, nullable=False),  # of that row: undone and done again, it counts again
    Column("at", UtcTime, nullable=False),
    UniqueConstraint("digest", "attempt"),
    Index("ix_automatic_at", "at", "action"),
    Index("ix_automatic_incident", "incident_id"),
)

alerts = Table(  # messages to the policy's recipients; written before they are sent, so none is sent twice
    "alerts",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    incident_column(),
    Column("digest", Text, nullable=False),  # the ledger's row that asked for it
    Column("recipient", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("number", Integer, nullable=False),  # 0, then the repeats
    Column("state", Text, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("at", UtcTime, nullable=False),  # of the last change
    UniqueConstraint("digest", "recipient", "number"),
    Index("ix_alerts_incident", "incident_id"),
)
