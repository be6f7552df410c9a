"""Which runs have logged their calls, and up to when each log was read: what the search for gaps needs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.detection_schema import logs_read, runs_logged, usage_windows

KEPT = timedelta(days=3)
FORGOTTEN = timedelta(days=1)  # a log that nobody has read for so long says nothing about any other


@dataclass(frozen=True)
class RunCalled:
    """A run that the guard let a call of go on, and that no record was read of."""

    flow_run_id: str
    workflow: str
    called_at: datetime


def note_runs(
    db: Database, conn: Connection, now: datetime, logged: Mapping[str, tuple[str, datetime]], called: Mapping[str, str]
) -> None:
    """Within a report: runs the scan read records of (workflow, last time), and runs whose calls the guard saw."""
    if logged:
        row = db.insert(runs_logged)
        changed = {"last_record_at": row.excluded.last_record_at, "seen_at": row.excluded.seen_at}
        conn.execute(
            row.on_conflict_do_update(index_elements=["flow_run_id"], set_=changed),
            [
                {"flow_run_id": run, "workflow": workflow, "last_record_at": at, "seen_at": now}
                for run, (workflow, at) in sorted(logged.items())
            ],
        )
    for run, workflow in sorted(called.items()):
        row = db.insert(runs_logged).values(flow_run_id=run, workflow=workflow, called_at=now, seen_at=now)
        conn.execute(row.on_conflict_do_update(index_elements=["flow_run_id"], set_={"called_at": now}))


class Watch:
    """What was logged, by run and by workflow."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def at_end(self, source: str) -> None:
        """The scan of this log stands at its end: whatever was logged until now was read."""
        now = self._db.clock()
        row = self._db.insert(logs_read).values(source=source, to_end_at=now)
        with self._db.write() as conn:
            conn.execute(row.on_conflict_do_update(index_elements=["source"], set_={"to_end_at": now}))

    def read_until(self) -> datetime | None:
        """Up to when every log was read; None where no scan says so. Forgets what is too old to matter."""
        now = self._db.clock()
        with self._db.write() as conn:
            conn.execute(runs_logged.delete().where(runs_logged.c.seen_at < now - KEPT))
            ends = sa.select(sa.func.min(logs_read.c.to_end_at)).where(logs_read.c.to_end_at > now - FORGOTTEN)
            found: datetime | None = conn.execute(ends).scalar()
        return found

    def unlogged(self, until: datetime) -> list[RunCalled]:
        """Runs whose calls the guard saw before then, without a record; oldest first."""
        query = sa.select(runs_logged).where(runs_logged.c.last_record_at.is_(None), runs_logged.c.called_at < until)
        with self._db.read() as conn:
            rows = conn.execute(query.order_by(runs_logged.c.called_at)).all()
        return [RunCalled(row.flow_run_id, row.workflow, row.called_at) for row in rows]

    def logged(self, runs: Collection[str]) -> set[str]:
        """Those of the runs that a record was read of."""
        query = sa.select(runs_logged.c.flow_run_id).where(
            runs_logged.c.flow_run_id.in_(runs), runs_logged.c.last_record_at.is_not(None)
        )
        with self._db.read() as conn:
            return set(conn.execute(query).scalars())

    def names_runs(self, workflow: str) -> bool:
        """Whether the workflow's records say which run they are of."""
        query = sa.select(runs_logged.c.flow_run_id).where(
            runs_logged.c.workflow == workflow, runs_logged.c.last_record_at.is_not(None)
        )
        with self._db.read() as conn:
            return conn.execute(query.limit(1)).first() is not None

    def heard(self, workflow: str, since: datetime) -> list[datetime]:
        """When the workflow's records were made, as beginnings of the windows that use is counted in; in order."""
        query = sa.select(usage_windows.c.began_at).where(
            usage_windows.c.kind == "workflow", usage_windows.c.name == workflow, usage_windows.c.began_at >= since
        )
        with self._db.read() as conn:
            return sorted(conn.execute(query).scalars())
