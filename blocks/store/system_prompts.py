"""What the store keeps of system prompts: fingerprints per workflow, never a text."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.detection_schema import system_prompts
from firebreak.detectors.leaks.fingerprints import Fingerprint

KEPT = 20  # a workflow's system prompts; the oldest goes


def put_system_prompt(db: Database, workflow: str, prompt: Fingerprint) -> bool:
    """Keep it unless it is known, but for what a template fills in. Whether it was new."""
    of_workflow = system_prompts.c.workflow == workflow
    with db.write() as conn:
        db.order_reports(conn)
        known = read_system_prompts(conn, workflow).get(workflow)
        if known is not None and known.covers(prompt):
            return False
        row = db.insert(system_prompts).values(
            workflow=workflow, digest=prompt.digest, shingles=_body(prompt), seen_at=db.clock()
        )
        conn.execute(row.on_conflict_do_nothing())
        newest = sa.select(system_prompts.c.digest).where(of_workflow).order_by(system_prompts.c.seen_at.desc())
        kept = conn.execute(newest.limit(KEPT)).scalars().all()
        conn.execute(system_prompts.delete().where(of_workflow, system_prompts.c.digest.not_in(kept)))
    return True


def read_system_prompts(conn: Connection, workflow: str | None = None) -> dict[str, Fingerprint]:
    """By workflow, all that is kept of its system prompts as one fingerprint."""
    query = sa.select(system_prompts.c.workflow, system_prompts.c.shingles)
    if workflow is not None:
        query = query.where(system_prompts.c.workflow == workflow)
    found: dict[str, Fingerprint] = {}
    for name, body in conn.execute(query):
        one = Fingerprint.model_validate(body)
        found[name] = found[name].with_(one) if name in found else one
    return found


def _body(prompt: Fingerprint) -> dict[str, object]:
    return {"least": prompt.least, "shingles": sorted(prompt.shingles)}
