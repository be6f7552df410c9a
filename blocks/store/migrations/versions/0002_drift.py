"""Drift: references, judged windows, retrainings, an incident's cause, and the records that findings accuse."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> "sa.Column[int]":
    return sa.Column("id", _INTEGER, autoincrement=True, nullable=False)


def upgrade() -> None:
    op.add_column("incidents", sa.Column("cause", sa.Text(), nullable=True))
    op.create_table(
        "drift_references",
        _id(),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("parquet", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset", "version"),
    )
    op.create_table(
        "drift_windows",
        _id(),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("reference", sa.Integer(), nullable=False),
        sa.Column("first_record", sa.Text(), nullable=False),
        sa.Column("last_record", sa.Text(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.Column("drifted", sa.JSON(), nullable=False),
        sa.Column("confirmed", sa.JSON(), nullable=False),
        sa.Column("cause", sa.JSON(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("judged_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset", "first_record", "last_record", "began_at"),
    )
    op.create_table(
        "retrainings",
        _id(),
        sa.Column("incident_id", _INTEGER, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("incident_id", "key"),
    )
    op.create_index("ix_retrainings_dataset", "retrainings", ["dataset", "requested_at"], unique=False)
    accused = op.create_table(
        "accused",
        sa.Column("incident_id", _INTEGER, nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("incident_id", "record_id"),
    )
    findings = sa.table("findings", sa.column("incident_id"), sa.column("body", sa.JSON()))
    known = sa.select(findings.c.incident_id, findings.c.body["record_id"].as_string()).distinct()
    op.execute(accused.insert().from_select(["incident_id", "record_id"], known))
