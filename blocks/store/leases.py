"""Leases: who works on what. 15 s, renewed by a thread; a holder that dies is replaced when it runs out."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.errors import LeaseLost, StoreUnavailable
from firebreak.blocks.store.schema import leases

SECONDS = 15.0


def require(conn: Connection, now: datetime, name: str, owner: str) -> None:
    """Raise LeaseLost unless ``owner`` has the lease; the row stays locked for this transaction."""
    row = conn.execute(leases.select().where(leases.c.name == name).with_for_update()).one_or_none()
    if row is None or row.owner != owner or row.until < now:
        raise LeaseLost(f"{name}: the lease of {owner} ran out or went to another")


class Lease:
    """A lease held. Call ``check()`` before every effect."""

    def __init__(self, db: Database, name: str, owner: str, seconds: float) -> None:
        self.name, self.owner = name, owner
        self._db, self._seconds = db, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {name}", daemon=True)

    def check(self) -> None:
        """Errors: LeaseLost."""
        with self._db.write() as conn:
            require(conn, self._db.clock(), self.name, self.owner)

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 3):
            try:
                if not self._extend():
                    return  # it ran out, or another has it: check() says so at the next effect
            except StoreUnavailable:
                continue  # the lease runs out by itself if the store stays away

    def _extend(self) -> bool:
        """Only what is still ours: a lease that went to another and back is not the one we hold."""
        now = self._db.clock()
        mine = leases.c.name == self.name, leases.c.owner == self.owner, leases.c.until >= now
        with self._db.write() as conn:
            until = now + timedelta(seconds=self._seconds)
            return bool(conn.execute(leases.update().where(*mine).values(until=until)).rowcount)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        try:
            with self._db.write() as conn:
                conn.execute(leases.delete().where(leases.c.name == self.name, leases.c.owner == self.owner))
        except StoreUnavailable:
            return  # it runs out by itself


def acquire(db: Database, name: str, owner: str, seconds: float = SECONDS) -> bool:
    """Take a lease. One statement, so two takers can't both win. One that a clock set back left far in the
    future counts as run out."""
    now = db.clock()
    row = db.insert(leases).values(name=name, owner=owner, until=now + timedelta(seconds=seconds))
    taken = row.on_conflict_do_update(
        index_elements=["name"],
        set_={"owner": row.excluded.owner, "until": row.excluded.until},
        where=sa.or_(leases.c.until < now, leases.c.until > now + timedelta(seconds=2 * seconds)),
    )
    with db.write() as conn:
        return wrote(conn, taken)


@contextmanager
def hold(db: Database, name: str, owner: str, wait: float, seconds: float = SECONDS) -> Iterator[Lease | None]:
    """The lease for as long as the block runs, or None when somebody else still has it after ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while not acquire(db, name, owner, seconds):
        if time.monotonic() >= deadline:
            yield None
            return
        time.sleep(0.25)
    with Lease(db, name, owner, seconds) as lease:
        yield lease


def holder(db: Database, name: str) -> str | None:
    """Who has the lease now, if anybody."""
    query = sa.select(leases.c.owner).where(leases.c.name == name, leases.c.until >= db.clock())
    with db.read() as conn:
        found: str | None = conn.execute(query).scalar()
    return found
