"""Use in the store: counts of five minutes per workflow and per token, and what is remembered of each token."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.detection_schema import token_history, usage_windows
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import Counts, microseconds, moment
from firebreak.detectors.usage.history import TokenUse, absorb

KEPT = timedelta(weeks=4)
AHEAD = timedelta(days=1)  # a record from later than this has a wrong clock, and would never go
KEPT_TOKENS = 10_000  # those used last
AT_ONCE = 200  # windows looked up by one statement

Key = tuple[str, str, datetime]


@dataclass(frozen=True)
class Counted:
    """One kept window. ``matched`` and ``standing`` name rules; None: not judged since it was last added to."""

    subject: str
    name: str
    began_at: datetime
    counts: Counts
    matched: tuple[str, ...] | None = None
    standing: tuple[str, ...] | None = None


@dataclass(frozen=True)
class JudgedUse:
    """What the rules made of a window."""

    subject: str
    name: str
    began_at: datetime
    matched: tuple[str, ...]
    standing: tuple[str, ...]


def count(db: Database, conn: Connection, now: datetime, counter: UsageCounter) -> None:
    """Add a pass's counts to what is kept, within a transaction whose reports are ordered."""
    earliest, latest = microseconds(now - KEPT), microseconds(now + AHEAD)
    new = {
        (subject, name, moment(began_us)): counts
        for (subject, name, began_us), counts in counter.windows().items()
        if earliest < began_us < latest
    }
    for (subject, name, began_at), body in _bodies(conn, list(new)).items():
        new[subject, name, began_at].add(Counts.from_json(body))
    if not new:
        return
    row = db.insert(usage_windows)
    changed = {"body": row.excluded.body, "matched": sa.null(), "standing": sa.null()}
    conn.execute(
        row.on_conflict_do_update(index_elements=["kind", "name", "began_at"], set_=changed),
        [{"kind": k, "name": n, "began_at": at, "body": counts.as_json()} for (k, n, at), counts in new.items()],
    )


def _bodies(conn: Connection, keys: list[Key]) -> dict[Key, dict[str, object]]:
    columns = usage_windows.c.kind, usage_windows.c.name, usage_windows.c.began_at
    found: dict[Key, dict[str, object]] = {}
    for start in range(0, len(keys), AT_ONCE):
        query = sa.select(*columns, usage_windows.c.body).where(sa.tuple_(*columns).in_(keys[start : start + AT_ONCE]))
        found |= {(row.kind, row.name, row.began_at): row.body for row in conn.execute(query)}
    return found


def remember(db: Database, conn: Connection, now: datetime, uses: Mapping[str, TokenUse]) -> None:
    """Add a pass's use of each token to its history. A time to come is taken for now."""
    whole, latest = read_uses(conn, list(uses)), microseconds(now)
    absorb(whole, uses)
    rows = [
        {
            "token_id": token_id,
            "first_used_at": moment(max(0, min(use.first_us, latest))),
            "last_used_at": moment(max(0, min(use.last_us, latest))),
            "calls": use.calls,
            "origins": use.origins,
        }
        for token_id, use in whole.items()
    ]
    if rows:
        row = db.insert(token_history)
        changed = {name: row.excluded[name] for name in ("first_used_at", "last_used_at", "calls", "origins")}
        conn.execute(row.on_conflict_do_update(index_elements=["token_id"], set_=changed), rows)


def read_uses(conn: Connection, tokens: list[str] | None = None) -> dict[str, TokenUse]:
    """What is remembered of these tokens, or of all."""
    query = token_history.select()
    rows: list[sa.Row[tuple[object, ...]]] = []
    if tokens is None:
        rows = list(conn.execute(query))
    for start in range(0, len(tokens or ()), AT_ONCE):
        some = (tokens or [])[start : start + AT_ONCE]
        rows += conn.execute(query.where(token_history.c.token_id.in_(some)))
    return {
        row.token_id: TokenUse(
            microseconds(row.first_used_at), microseconds(row.last_used_at), row.calls, dict(row.origins)
        )
        for row in rows
    }


def keep_judged(conn: Connection, judged: list[JudgedUse]) -> None:
    """Write down what was made of each window."""
    if not judged:
        return
    table = usage_windows
    statement = (
        table.update()
        .where(
            table.c.kind == sa.bindparam("of_kind"),
            table.c.name == sa.bindparam("of_name"),
            table.c.began_at == sa.bindparam("at"),
        )
        .values(matched=sa.bindparam("those_matched"), standing=sa.bindparam("those_standing"))
    )
    conn.execute(
        statement,
        [
            {
                "of_kind": each.subject,
                "of_name": each.name,
                "at": each.began_at,
                "those_matched": list(each.matched),
                "those_standing": list(each.standing),
            }
            for each in judged
        ],
    )


class Usage:
    """Windows of use, and the tokens' histories."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def unjudged(self, since: datetime, until: datetime) -> list[Key]:
        """Windows that began in that time and wait for a verdict, oldest first: subject, name, beginning."""
        table = usage_windows
        query = sa.select(table.c.kind, table.c.name, table.c.began_at).where(
            table.c.began_at >= since, table.c.began_at < until, table.c.matched.is_(None)
        )
        with self._db.read() as conn:
            found = conn.execute(query.order_by(table.c.began_at, table.c.kind, table.c.name))
            return [(row.kind, row.name, row.began_at) for row in found]

    def windows(self, subject: str, name: str, since: datetime, until: datetime) -> list[Counted]:
        """A workflow's or a token's windows that began in that time, oldest first."""
        table = usage_windows
        query = table.select().where(
            table.c.kind == subject, table.c.name == name, table.c.began_at >= since, table.c.began_at < until
        )
        with self._db.read() as conn:
            return [
                Counted(
                    subject,
                    name,
                    row.began_at,
                    Counts.from_json(row.body),
                    None if row.matched is None else tuple(row.matched),
                    None if row.standing is None else tuple(row.standing),
                )
                for row in conn.execute(query.order_by(table.c.began_at))
            ]

    def uses(self) -> dict[str, TokenUse]:
        """What is remembered of every token."""
        with self._db.read() as conn:
            return read_uses(conn)

    def forget_old(self) -> None:
        """Drop windows older than four weeks, and the tokens unused for longest where there are too many."""
        keep = sa.select(token_history.c.token_id).order_by(token_history.c.last_used_at.desc()).limit(KEPT_TOKENS)
        with self._db.write() as conn:
            conn.execute(usage_windows.delete().where(usage_windows.c.began_at < self._db.clock() - KEPT))
            if conn.execute(sa.select(sa.func.count()).select_from(token_history)).scalar_one() > KEPT_TOKENS:
                conn.execute(token_history.delete().where(token_history.c.token_id.not_in(keep)))
