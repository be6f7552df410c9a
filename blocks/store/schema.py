"""The incident store's tables: one schema on SQLite and PostgreSQL. Times are UTC, kept as microseconds."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

REVISION = "0004"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime as integer microseconds: sorts and compares alike on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=int(value))


metadata = MetaData()
Id = BigInteger().with_variant(Integer, "sqlite")


def incident_column() -> Column[int]:
    return Column("incident_id", Id, ForeignKey("incidents.id", ondelete="CASCADE"), nullable=False)


incidents = Table(
    "incidents",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("actor_type", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("severity", Integer, nullable=False),  # Severity.rank
    Column("state", Text, nullable=False),
    Column("atlas", JSON, nullable=False),
    Column("owasp", JSON, nullable=False),
    Column("cause", Text),  # of drift: model, population, data, unclear
    Column("findings", Integer, nullable=False),  # distinct findings joined
    Column("related_to", Id),  # the same trouble's incident before this one
    Column("opened_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("contained_at", UtcTime),
    Column("closed_at", UtcTime),
    Column("triage", JSON),  # what triage concluded: playbook, summary, plan
    Column("respond_run_id", Text),
    Column("attempts", Integer, nullable=False),  # runs spent on the present state
    Index("ix_incidents_state", "state", "severity"),
    Index("ix_incidents_actor", "workflow", "actor_type", "actor"),
)

fingerprints = Table(  # the newest incident of each
    "fingerprints",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    incident_column(),
    Index("ix_fingerprints_incident", "incident_id"),
)

findings = Table(
    "findings",
    metadata,
    Column("key", Text, primary_key=True),  # rule and record: the same claim is stored once
    incident_column(),
    Column("severity", Integer, nullable=False),  # Severity.rank
    Column("body", JSON, nullable=False),
    Column("record_time", UtcTime, nullable=False),
    Column("found_at", UtcTime, nullable=False),
    Column("seen_by", JSON, nullable=False),  # {"guard": iso time, "scan-logs": iso time}
    Index("ix_findings_incident", "incident_id"),
)

accused = Table(  # every record that a finding is about, also where the finding itself isn't stored
    "accused",
    metadata,
    incident_column(),
    Column("record_id", Text, nullable=False),
    PrimaryKeyConstraint("incident_id", "record_id"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    incident_column(),
    Column("at", UtcTime, nullable=False),
    Column("entry", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Index("ix_timeline_incident", "incident_id"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    incident_column(),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),  # of the canonical JSON of body
    Column("body", JSON, nullable=False),
    Column("frozen_at", UtcTime, nullable=False),
    UniqueConstraint("incident_id", "name", "sha256"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("digest", Text, primary_key=True),
    incident_column(),
    Column("position", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("title", Text, nullable=False),
    Column("approval", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("former", JSON),  # what the target was before apply: what undo restores
    Column("probe", JSON),  # what the last verify saw
    Column("error", Text),
    Column("attempts", Integer, nullable=False),
    Column("undo_of", Text),
    Column("expires_after", Integer),  # seconds
    Column("ends_at", UtcTime),
    Column("decided_by", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index("ix_ledger_incident", "incident_id"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    incident_column(),
    Column("plan_digest", Text, nullable=False),
    Column("runs", JSON, nullable=False),  # flow runs that asked, newest last
    Column("requested_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("needed", Integer, nullable=False, server_default="1"),  # different people who must approve
    Column("decision", Text),
    Column("decided_by", Text),
    Column("decided_at", UtcTime),
    Column("comment", Text),
    UniqueConstraint("incident_id", "plan_digest"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    incident_column(),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("lifted_at", UtcTime),
    Column("lifted_by", Text),
    Index(
        "ux_holds_open",
        "workflow",
        "kind",
        "target",
        "incident_id",
        unique=True,
        sqlite_where=text("lifted_at IS NULL"),
        postgresql_where=text("lifted_at IS NULL"),
    ),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", UtcTime, nullable=False),
)

wakeups = Table(
    "wakeups",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("since", UtcTime, nullable=False),
)

beats = Table(
    "beats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("interval_seconds", Integer, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("run_id", Text),
)

sources = Table(
    "sources",
    metadata,
    Column("source", Text, primary_key=True),
    Column("position", JSON, nullable=False),
    Column("set_aside", BigInteger, nullable=False),  # malformed lines so far, kept or not
    Column("updated_at", UtcTime, nullable=False),
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("excerpt", Text, nullable=False),  # backslash-escaped bytes
    Column("at", UtcTime, nullable=False),
    Index("ix_set_aside_source", "source"),
)

token_users = Table(
    "token_users",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("last_seen_at", UtcTime, nullable=False),
)

canaries = Table(
    "canaries",
    metadata,
    Column("canary", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("issued_at", UtcTime, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("sha256", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("tokens", JSON),  # the token register as detectors need it, or null: none kept
    Column("allow", JSON),  # the allow-list as detectors need it
    Column("put_at", UtcTime, nullable=False),
)
