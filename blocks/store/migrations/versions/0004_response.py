"""Response: approvers, answers, notices; who decided on each row of the ledger, and its end; storms; alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> "sa.Column[int]":
    return sa.Column("id", _INTEGER, autoincrement=True, nullable=False)


def upgrade() -> None:
    approvals()
    storms()
    ends()
    alerting()


def approvals() -> None:
    op.add_column("approvals", sa.Column("needed", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("ledger", sa.Column("decided_by", sa.Text(), nullable=True))
    before = sa.table("approvals", sa.column("decision"), sa.column("decided_by"))
    typed = before.update().where(before.c.decision.in_(["approve", "refuse"]))
    op.execute(typed.values(decided_by=before.c.decided_by + " (unidentified)"))
    op.create_table(
        "approvers",
        _id(),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=True),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.Column("enrolled_by", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ux_approvers_enrolled",
        "approvers",
        ["person"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "answers",
        _id(),
        sa.Column("approval_id", _INTEGER, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["approval_id"], ["approvals.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("approval_id", "source"),
    )
    op.create_table(
        "notices",
        _id(),
        sa.Column("approval_id", _INTEGER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["approval_id"], ["approvals.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("approval_id", "kind"),
    )


def storms() -> None:
    op.create_table(
        "ties",
        sa.Column("tie", sa.Text(), nullable=False),
        sa.Column("incident_id", _INTEGER, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tie", "incident_id"),
    )
    op.create_index("ix_ties_incident", "ties", ["incident_id"])
    op.create_table(
        "suppressed",
        sa.Column("incident_id", _INTEGER, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("incident_id", "why"),
    )
    op.create_table(
        "automatic",
        _id(),
        sa.Column("incident_id", _INTEGER, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest", "attempt"),
    )
    op.create_index("ix_automatic_at", "automatic", ["at", "action"])
    op.create_index("ix_automatic_incident", "automatic", ["incident_id"])


def ends() -> None:
    op.add_column("ledger", sa.Column("expires_after", sa.Integer(), nullable=True))
    op.add_column("ledger", sa.Column("ends_at", sa.BigInteger(), nullable=True))


def alerting() -> None:
    op.create_table(
        "alerts",
        _id(),
        sa.Column("incident_id", _INTEGER, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest", "recipient", "number"),
    )
    op.create_index("ix_alerts_incident", "alerts", ["incident_id"])
