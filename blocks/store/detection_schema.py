"""The incident store's tables about detection: what detectors must remember between two passes."""

from sqlalchemy import JSON, Column, Float, Index, Integer, PrimaryKeyConstraint, Table, Text

from firebreak.blocks.store.schema import Id, UtcTime, incident_column, metadata

system_prompts = Table(  # fingerprints of system prompts, never their text
    "system_prompts",
    metadata,
    Column("workflow", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("shingles", JSON, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
)

usage_windows = Table(  # counts of one token or one workflow over a time window
    "usage_windows",
    metadata,
    Column("kind", Text, primary_key=True),  # token, workflow
    Column("name", Text, primary_key=True),
    Column("began_at", UtcTime, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("matched", JSON(none_as_null=True)),  # rules that matched; null: not judged since it was last added to
    Column("standing", JSON(none_as_null=True)),  # rules whose alarm stood then: no part of what is ordinary
    Index("usage_windows_began", "began_at"),
)

token_history = Table(
    "token_history",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("first_used_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime, nullable=False),
    Column("calls", Id, nullable=False),
    Column("origins", JSON, nullable=False),  # network -> when it was last seen, in microseconds
)

runs_logged = Table(  # what the guard and the log scan know of a flow run's calls
    "runs_logged",
    metadata,
    Column("flow_run_id", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("called_at", UtcTime),  # the guard saw a call of it
    Column("last_record_at", UtcTime),  # the log scan read a record of it
    Column("seen_at", UtcTime, nullable=False),
    Index("ix_runs_logged_seen", "seen_at"),
)

logs_read = Table(  # when the scan of a log last stood at its end
    "logs_read",
    metadata,
    Column("source", Text, primary_key=True),
    Column("to_end_at", UtcTime, nullable=False),
)

correlation_windows = Table(  # what a correlation rule has counted so far, by group
    "correlation_windows",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("group_key", Text, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

labels = Table(  # texts that a person's verdict has labelled: 1 attack, 0 harmless
    "labels",
    metadata,
    Column("key", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("label", Integer, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("user", Text),  # of the record: what is forgotten with its user
    Column("record_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    incident_column(),
    Column("labelled_by", Text, nullable=False),
    Column("labelled_at", UtcTime, nullable=False),
)

thresholds = Table(  # the newest of a name is in force
    "thresholds",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("body", JSON, nullable=False),
    Column("put_by", Text, nullable=False),
    Column("put_at", UtcTime, nullable=False),
)

allowed = Table(  # findings that an allow-list entry kept back
    "allowed",
    metadata,
    Column("entry", Text, primary_key=True),
    Column("seen_by", Text, primary_key=True),  # guard and log scan see the same call
    Column("count", Integer, nullable=False),
    Column("last_at", UtcTime, nullable=False),
)

votes = Table(  # the independent ways in which an incident's trouble with one actor was found
    "votes",
    metadata,
    incident_column(),
    Column("fingerprint", Text, nullable=False),
    Column("vote", Text, nullable=False),
    Column("severity", Integer, nullable=False),  # Severity.rank, the gravest it was given for
    PrimaryKeyConstraint("incident_id", "fingerprint", "vote"),
)
