"""How many findings the allow-list kept back, by entry."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.detection_schema import allowed


class Kept(BaseModel):
    """What one entry has kept back so far. Guard and log scan see the same calls, so each counts for itself."""

    model_config = ConfigDict(frozen=True)

    entry: str
    seen_by: str
    count: int
    last_at: datetime


def count_kept(db: Database, conn: Connection, now: datetime, kept: Mapping[str, int], seen_by: str) -> None:
    """Add to the counts; part of the transaction that writes what was not kept back."""
    for entry, number in sorted(kept.items()):
        row = db.insert(allowed).values(entry=entry, seen_by=seen_by, count=number, last_at=now)
        added = {"count": allowed.c.count + number, "last_at": now}
        conn.execute(row.on_conflict_do_update(index_elements=["entry", "seen_by"], set_=added))


class Allowed:
    """Reading the counts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def kept(self) -> list[Kept]:
        with self._db.read() as conn:
            rows = conn.execute(allowed.select().order_by(allowed.c.entry, allowed.c.seen_by))
            return [Kept.model_validate(row._mapping) for row in rows]
