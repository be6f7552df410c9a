"""Signals that keep the parts awake: wake-ups outstanding, and heartbeats of the scheduled flows."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import BaseModel

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.schema import beats, wakeups

STALE_WAKEUP = timedelta(seconds=30)  # a wake-up nobody answered in this time is sent again
AT_WORK = timedelta(seconds=10)  # a drain that hasn't said so for this long is dead
MISSED = 3  # intervals without a heartbeat before a flow counts as overdue


class Overdue(BaseModel):
    """A scheduled flow that has gone quiet for longer than it promised."""

    name: str
    interval_seconds: int
    last_at: datetime
    run_id: str | None = None


class Health:
    """Wake-ups and heartbeats."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def wake(self, topic: str) -> bool:
        """True when a signal should be sent: none is outstanding, or the last got no answer in 30 s."""
        now = self._db.clock()
        row = self._db.insert(wakeups).values(topic=topic, since=now)
        with self._db.write() as conn:
            return wrote(
                conn,
                row.on_conflict_do_update(
                    index_elements=["topic"],
                    set_={"since": now},
                    where=wakeups.c.since < now - STALE_WAKEUP,
                ),
            )

    def awake(self, topic: str) -> None:
        """Answer a topic's wake-ups: the next report signals again."""
        with self._db.write() as conn:
            conn.execute(wakeups.delete().where(wakeups.c.topic.startswith(topic, autoescape=True)))

    def working(self, topic: str) -> None:
        """A run takes whatever comes about this topic, for the next 10 s: nobody need be woken."""
        now = self._db.clock()
        row = self._db.insert(wakeups).values(topic=f"{topic}/at-work", since=now)
        with self._db.write() as conn:
            conn.execute(row.on_conflict_do_update(index_elements=["topic"], set_={"since": now}))

    def at_work(self, topic: str) -> bool:
        """Whether a run is taking whatever comes about this topic."""
        query = sa.select(wakeups.c.since).where(wakeups.c.topic == f"{topic}/at-work")
        with self._db.read() as conn:
            since = conn.execute(query).scalar()
        return since is not None and self._db.clock() - since < AT_WORK

    def beat(self, name: str, interval_seconds: int, run_id: str | None = None) -> None:
        """The flow ``name`` is alive; it beats at least every ``interval_seconds``."""
        now = self._db.clock()
        values = {"interval_seconds": interval_seconds, "at": now, "run_id": run_id}
        row = self._db.insert(beats).values(name=name, **values)
        with self._db.write() as conn:
            conn.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))

    def expect(self, name: str, interval_seconds: int) -> None:
        """Expect heartbeats from now on, if none came yet (bootstrap says this for every scheduled flow)."""
        row = self._db.insert(beats).values(name=name, interval_seconds=interval_seconds, at=self._db.clock())
        with self._db.write() as conn:
            conn.execute(row.on_conflict_do_nothing())

    def alive(self, name: str) -> bool:
        """Has a run of this flow beaten within its interval?"""
        query = sa.select(beats).where(beats.c.name == name, beats.c.run_id.is_not(None))
        with self._db.read() as conn:
            row = conn.execute(query).one_or_none()
        return row is not None and self._db.clock() - row.at <= timedelta(seconds=row.interval_seconds)

    def overdue(self) -> list[Overdue]:
        """Flows that have missed three of their intervals."""
        return self.silent(MISSED)

    def silent(self, intervals: int = 1, prefix: str = "") -> list[Overdue]:
        """Flows without a heartbeat for longer than so many of their intervals."""
        now = self._db.clock()
        query = sa.select(beats).where(beats.c.name.startswith(prefix, autoescape=True)).order_by(beats.c.name)
        with self._db.read() as conn:
            rows = conn.execute(query).all()
        return [
            Overdue(name=row.name, interval_seconds=row.interval_seconds, last_at=row.at, run_id=row.run_id)
            for row in rows
            if now - row.at > timedelta(seconds=intervals * row.interval_seconds)
        ]
