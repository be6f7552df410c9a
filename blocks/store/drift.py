"""Drift in the store: the references a dataset was compared with, and the judged windows, scores over time."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

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


@dataclass(frozen=True)
class Renewal:
    """A new version of a reference, to be put in force."""

    dataset: str
    parquet: bytes
    rows: int
    by: str
    why: str


def put_reference(conn: Connection, now: datetime, new: Renewal) -> None:
    """Within a transaction whose reports are ordered. Errors: ReferenceTooLarge."""
    size, sha256 = len(new.parquet), hashlib.sha256(new.parquet).hexdigest()
    if size > LARGEST:
        raise ReferenceTooLarge(
            f"dataset {new.dataset}: a reference of {size} bytes; at most {LARGEST}: give it fewer rows"
        )
    before = _in_force(conn, new.dataset)
    if before is None or (before.sha256, before.why) != (sha256, new.why):
        version = before.version + 1 if before else 1
        conn.execute(drift_references.insert().values(**asdict(new), version=version, sha256=sha256, at=now))


def _in_force(conn: Connection, dataset: str) -> Reference | None:
    query = drift_references.select().where(drift_references.c.dataset == dataset)
    row = conn.execute(query.order_by(drift_references.c.version.desc()).limit(1)).one_or_none()
    return Reference(**row._mapping) if row else None


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
        with self._db.read() as conn:
            return _in_force(conn, dataset)

    def references(self, dataset: str) -> list[Reference]:
        """Every version, oldest first."""
        query = drift_references.select().where(drift_references.c.dataset == dataset)
        with self._db.read() as conn:
            rows = conn.execute(query.order_by(drift_references.c.version))
            return [Reference(**row._mapping) for row in rows]

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
