"""Records that nothing may learn from: what an attacker supplied, and what a held user or token sent."""

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.schema import accused, holds, incidents
from firebreak.blocks.store.states import State


class Excluded(BaseModel):
    """Of one workflow: record ids with a security finding, and users and tokens that are held now or ever were."""

    model_config = ConfigDict(frozen=True)

    record_ids: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    tokens: frozenset[str] = frozenset()


def excluded(db: Database, workflow: str) -> Excluded:
    """Incidents closed as false positives exclude nothing; findings about a dataset accuse no record."""
    counts = (
        incidents.c.workflow == workflow,
        incidents.c.state != State.FALSE_POSITIVE,
    )
    records = sa.select(accused.c.record_id).join(incidents, incidents.c.id == accused.c.incident_id).where(*counts)
    held = (
        sa.select(holds.c.kind, holds.c.target)
        .join(incidents, incidents.c.id == holds.c.incident_id)
        .where(*counts, holds.c.workflow == workflow)
    )
    with db.read() as conn:
        record_ids = frozenset(conn.scalars(records))
        actors = conn.execute(held).all()
    return Excluded(
        record_ids=record_ids,
        users=frozenset(target for kind, target in actors if kind == "quarantine-user"),
        tokens=frozenset(target for kind, target in actors if kind == "quarantine-token"),
    )
