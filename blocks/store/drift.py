"""Drift in the store: the references a dataset was compared with, and the judged windows, scores over time."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.drift_schema import drift_references, drift_windows

LARGEST = 64_000_000  # bytes of a reference's Parquet
KEPT_REFERENCES = 20  # versions of a dataset, the newest
KEPT_WINDOWS = 5_000  # of a dataset, the newest


class ReferenceTooLarge(ValueError):
    """A reference that doesn't fit into the store; the message says how large it is."""


class ReferenceVersion(BaseModel):
    """One version of what a dataset is compared with: who made it, and why. Its rows are the ``Reference``'s."""

    dataset: str
    version: int
    sha256: str = Field(description="of the Parquet bytes")
    rows: int
    by: str
    why: str
    at: datetime


class Reference(ReferenceVersion):
    """A version with its rows."""

    parquet: bytes = Field(repr=False)


class JudgedWindow(BaseModel):
    """One window of a dataset's records and what was found in it."""

    dataset: str
    reference: int
    first_record: str
    last_record: str
    began_at: datetime
    ended_at: datetime
    rows: int
    verdict: dict[str, Any]
    drifted: dict[str, bool]
    confirmed: list[str]
    cause: dict[str, Any] | None = None
    report: str | None = None


@dataclass(frozen=True)
class Renewal:
    """A new version of a reference, to be put in force."""

    dataset: str
    parquet: bytes
    rows: int
    by: str
    why: str


SUMMARY = [drift_references.c[name] for name in ReferenceVersion.model_fields]


def put_reference(conn: Connection, now: datetime, new: Renewal) -> None:
    """Within a transaction whose reports are ordered. The oldest versions go. Errors: ReferenceTooLarge."""
    size, sha256 = len(new.parquet), hashlib.sha256(new.parquet).hexdigest()
    if size > LARGEST:
        raise ReferenceTooLarge(
            f"dataset {new.dataset}: a reference of {size} bytes; at most {LARGEST}: give it fewer rows"
        )
    of_dataset = drift_references.c.dataset == new.dataset
    query = sa.select(*SUMMARY).where(of_dataset).order_by(drift_references.c.version.desc()).limit(1)
    before = conn.execute(query).one_or_none()
    if before is None or (before.sha256, before.why) != (sha256, new.why):
        version = before.version + 1 if before else 1
        conn.execute(drift_references.insert().values(**asdict(new), version=version, sha256=sha256, at=now))
        old = drift_references.c.version <= version - KEPT_REFERENCES
        conn.execute(drift_references.delete().where(of_dataset, old))


def add_window(db: Database, conn: Connection, now: datetime, window: JudgedWindow) -> bool:
    """False when the window was there already. The oldest windows go."""
    row = db.insert(drift_windows).values(**window.model_dump(), judged_at=now).on_conflict_do_nothing()
    if not wrote(conn, row):
        return False
    of_dataset = drift_windows.c.dataset == window.dataset
    newest = sa.select(drift_windows.c.id).where(of_dataset).order_by(drift_windows.c.id.desc())
    oldest_gone = newest.offset(KEPT_WINDOWS).limit(1).scalar_subquery()
    conn.execute(drift_windows.delete().where(of_dataset, drift_windows.c.id <= oldest_gone))
    return True


class Drift:
    """References and windows of the monitored datasets."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def reference(self, dataset: str, version: int | None = None) -> Reference | None:
        """The version in force, or the one asked for, with its rows; None where there is none."""
        query = drift_references.select().where(drift_references.c.dataset == dataset)
        if version is not None:
            query = query.where(drift_references.c.version == version)
        with self._db.read() as conn:
            row = conn.execute(query.order_by(drift_references.c.version.desc()).limit(1)).one_or_none()
        return Reference(**row._mapping) if row else None

    def references(self, dataset: str) -> list[ReferenceVersion]:
        """The versions that are kept, oldest first: the last one is in force."""
        query = sa.select(*SUMMARY).where(drift_references.c.dataset == dataset)
        with self._db.read() as conn:
            rows = conn.execute(query.order_by(drift_references.c.version))
            return [ReferenceVersion(**row._mapping) for row in rows]

    def renew(self, dataset: str, parquet: bytes, rows: int, by: str, why: str) -> Reference:
        """Put a new version in force. The same bytes for the same reason are put once. Errors: ReferenceTooLarge."""
        with self._db.write() as conn:
            self._db.order_reports(conn)
            put_reference(conn, self._db.clock(), Renewal(dataset, parquet, rows, by, why))
        found = self.reference(dataset)
        assert found is not None, "just written"
        return found

    def windows(self, dataset: str, reference: int | None = None, limit: int = 50) -> list[JudgedWindow]:
        """The newest ``limit`` windows, oldest first; those compared with one version, where one is given."""
        query = drift_windows.select().where(drift_windows.c.dataset == dataset)
        if reference is not None:
            query = query.where(drift_windows.c.reference == reference)
        with self._db.read() as conn:
            rows = list(conn.execute(query.order_by(drift_windows.c.id.desc()).limit(limit)))
        return [JudgedWindow(**row._mapping) for row in reversed(rows)]
