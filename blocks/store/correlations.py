"""What correlations have counted so far, by group: kept with the findings it led to, in one transaction."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.detection_schema import correlation_windows as windows
from firebreak.detectors.correlation_subset import LONGEST
from firebreak.detectors.correlations import MOST_GROUPS, Changes, Correlator, Row, key_prefix
from firebreak.detectors.findings import Finding
from firebreak.detectors.rule import Correlation

KEPT = 2 * LONGEST + timedelta(days=1)  # nothing that is older counts with anything that comes in time
_AT_ONCE = 200  # groups looked up in one statement


class Correlations:
    """The counts of correlations over records, which the scan feeds."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def load(self, correlations: Sequence[Correlation], log: str) -> list[Row]:
        """The state for ``Correlator(correlations, state, log)``: the groups counted last, the newest at the end."""
        names = [correlation.id for correlation in correlations]
        query = sa.select(windows).where(
            windows.c.rule.in_(names),
            windows.c.group_key.startswith(key_prefix(log)),
            windows.c.updated_at > self._db.clock() - KEPT,
        )
        newest = query.order_by(windows.c.updated_at.desc(), windows.c.group_key).limit(MOST_GROUPS)
        with self._db.read() as conn:
            rows = [Row(row.rule, row.group_key, row.body) for row in conn.execute(newest)]
        return rows[::-1]


def save(db: Database, conn: Connection, now: datetime, changes: Changes) -> None:
    """Write what changed, in the transaction of the pass that counted it."""
    for rule, group_key in changes.gone:
        conn.execute(windows.delete().where(windows.c.rule == rule, windows.c.group_key == group_key))
    if rows := [{"rule": r.rule, "group_key": r.group_key, "body": r.body, "updated_at": now} for r in changes.rows]:
        row = db.insert(windows).values(rows[0])
        conn.execute(
            row.on_conflict_do_update(
                index_elements=["rule", "group_key"],
                set_={"body": row.excluded.body, "updated_at": row.excluded.updated_at},
            ),
            rows,
        )


def count_findings(
    db: Database, conn: Connection, now: datetime, correlations: Sequence[Correlation], new: Sequence[Finding]
) -> list[Finding]:
    """Count findings that this transaction stores for the first time; what their correlations find.

    Reports are ordered, so no other writer counts in the same group meanwhile.
    """
    named = {name for correlation in correlations for name in correlation.counting.rules}
    counted = [finding for finding in new if finding.rule in named]
    if not counted:
        return []
    empty = Correlator(correlations)
    keys = sorted({key for finding in counted for key in empty.keys(finding)})
    correlator = Correlator(correlations, _rows(conn, keys))
    found = [claim for finding in sorted(counted, key=_moment) for claim in correlator.feed_finding(finding)]
    save(db, conn, now, correlator.changed())
    if found:
        conn.execute(windows.delete().where(windows.c.updated_at < now - KEPT))
    return found


def _moment(finding: Finding) -> tuple[datetime, str]:
    return finding.time, finding.record_id


def _rows(conn: Connection, keys: list[tuple[str, str]]) -> Iterator[Row]:
    for at in range(0, len(keys), _AT_ONCE):
        some = keys[at : at + _AT_ONCE]
        query = sa.select(windows).where(sa.tuple_(windows.c.rule, windows.c.group_key).in_(some))
        for row in conn.execute(query):
            yield Row(row.rule, row.group_key, row.body)
