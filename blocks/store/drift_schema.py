"""The incident store's tables about drift: references, judged windows, retrainings."""

from sqlalchemy import JSON, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint

from firebreak.blocks.store.schema import Id, UtcTime, incident_column, metadata

drift_references = Table(  # what a dataset is compared with; the newest version is in force
    "drift_references",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("dataset", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("parquet", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    UniqueConstraint("dataset", "version"),
)

drift_windows = Table(  # one row a judged window: scores over time
    "drift_windows",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("dataset", Text, nullable=False),
    Column("reference", Integer, nullable=False),  # the version it was compared with
    Column("first_record", Text, nullable=False),
    Column("last_record", Text, nullable=False),
    Column("began_at", UtcTime, nullable=False),  # of the window's records
    Column("ended_at", UtcTime, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("verdict", JSON, nullable=False),  # by column: score, threshold, direction, sizes
    Column("drifted", JSON, nullable=False),  # by name: whether this window drifted there
    Column("confirmed", JSON, nullable=False),  # names for which drift is confirmed after this window
    Column("cause", JSON),
    Column("report", Text),  # where Evidently's page is kept
    Column("judged_at", UtcTime, nullable=False),
    UniqueConstraint("dataset", "first_record", "last_record", "began_at"),
)

retrainings = Table(
    "retrainings",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    incident_column(),
    Column("dataset", Text, nullable=False),
    Column("key", Text, nullable=False),  # digest of the action that asked
    Column("state", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("run_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("requested_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("incident_id", "key"),
    Index("ix_retrainings_dataset", "dataset", "requested_at"),
)
