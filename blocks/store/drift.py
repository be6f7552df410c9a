"""Drift in the store: the references a dataset was compared with, and the judged windows, scores over time."""

import hashlib
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.schema import drift_references, drift_windows

LARGEST = 64_000_000  # bytes of a reference's Parquet


class ReferenceTooLarge(ValueError):
    """A reference that doesn't fit into the store; the message says how large it is."""


class Reference(BaseModel):
    """What a dataset is compared with: one version of it, who made it, and why."""

    dataset: str
    version: int
    sha256: str = Field(description="of the Parquet bytes")
    rows: int
    by: str
    why: str
    at: datetime
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


def add_window(db: Database, conn: Connection, now: datetime, window: JudgedWindow) -> bool:
    """False when the window was there already."""
    row = db.insert(drift_windows).values(**window.model_dump(), judged_at=now).on_conflict_do_nothing()
    return wrote(conn, row)


class Drift:
    """References and windows of the monitored datasets."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def reference(self, dataset: str) -> Reference | None:
        """The version in force; None before the first."""
        query = (
            drift_references.select()
            .where(drift_references.c.dataset == dataset)
            .order_by(drift_references.c.version.desc())
            .limit(1)
        )
        with self._db.read() as conn:
            row = conn.execute(query).one_or_none()
        return Reference(**row._mapping) if row else None

    def references(self, dataset: str) -> list[Reference]:
        """Every version, oldest first."""
        query = drift_references.select().where(drift_references.c.dataset == dataset)
        with self._db.read() as conn:
            rows = conn.execute(query.order_by(drift_references.c.version))
            return [Reference(**row._mapping) for row in rows]

    def renew(self, dataset: str, parquet: bytes, rows: int, by: str, why: str) -> Reference:
        """Put a new version in force. The same bytes for the same reason are put once. Errors: ReferenceTooLarge."""
        if len(parquet) > LARGEST:
            raise ReferenceTooLarge(
                f"dataset {dataset}: a reference of {len(parquet)} bytes; at most {LARGEST}: give it fewer rows"
            )
        sha256 = hashlib.sha256(parquet).hexdigest()
        newest = sa.select(sa.func.max(drift_references.c.version)).where(drift_references.c.dataset == dataset)
        with self._db.write() as conn:
            self._db.order_reports(conn)
            now = self.reference_in(conn, dataset)
            if now is None or (now.sha256, now.why) != (sha256, why):
                version = int(conn.execute(newest).scalar() or 0) + 1
                values = {"dataset": dataset, "version": version, "parquet": parquet, "sha256": sha256}
                more = {"rows": rows, "by": by, "why": why, "at": self._db.clock()}
                conn.execute(drift_references.insert().values(**values, **more))
            found = self.reference_in(conn, dataset)
        assert found is not None, "just written"
        return found

    def reference_in(self, conn: Connection, dataset: str) -> Reference | None:
        """The version in force, within a transaction."""
        query = drift_references.select().where(drift_references.c.dataset == dataset)
        row = conn.execute(query.order_by(drift_references.c.version.desc()).limit(1)).one_or_none()
        return Reference(**row._mapping) if row else None

    def windows(self, dataset: str, reference: int | None = None, limit: int = 50) -> list[JudgedWindow]:
        """The newest ``limit`` windows, oldest first; those compared with one version, where one is given."""
        query = drift_windows.select().where(drift_windows.c.dataset == dataset)
        if reference is not None:
            query = query.where(drift_windows.c.reference == reference)
        with self._db.read() as conn:
            rows = list(conn.execute(query.order_by(drift_windows.c.id.desc()).limit(limit)))
        return [JudgedWindow(**row._mapping) for row in reversed(rows)]
