"""Labels: texts that a person's verdict on an incident has made known as attack (1) or harmless (0).

Nothing but a verdict writes here, and a label stands only as long as its verdict: traffic teaches nothing.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, Field

from firebreak.blocks.store.database import Database, wrote
from firebreak.blocks.store.detection_schema import labels
from firebreak.blocks.store.errors import IncidentMoved, UnknownIncident
from firebreak.blocks.store.incidents import add_entry
from firebreak.blocks.store.schema import incidents
from firebreak.blocks.store.states import State
from firebreak.detectors.findings import digest
from firebreak.detectors.records import Origin

HARMLESS, ATTACK = 0, 1
VERDICTS = {State.FALSE_POSITIVE: HARMLESS, State.RESOLVED: ATTACK}
LONGEST = 10_000  # characters; a longer text is not labelled: cut, it may have lost what was judged
KEPT = 10_000  # labels, the newest


class Accused(BaseModel):
    """The text of one record that a finding accuses: the part of its prompt from one origin."""

    text: str
    workflow: str
    user: str | None
    record_id: str
    origin: Origin


class Label(Accused):
    """A text with a person's verdict; who gave it, when, and on which incident."""

    label: Literal[0, 1] = Field(description="1 attack, 0 harmless")
    incident_id: int
    labelled_by: str
    labelled_at: datetime


class Labels:
    """The labelled texts; one transaction a call."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, incident_id: int, verdict: State, texts: Iterable[Accused], by: str) -> int:
        """Label what an incident accused as its verdict says; how many texts are new. The same text is kept once.

        Errors: IncidentMoved (the incident isn't closed with this verdict), UnknownIncident.
        """
        with self._db.write() as conn:
            now, added = self._db.clock(), 0
            query = sa.select(incidents.c.state).where(incidents.c.id == incident_id).with_for_update()
            state = conn.execute(query).scalar()
            if state is None:
                raise UnknownIncident(f"there is no incident {incident_id}")
            if state != verdict or verdict not in VERDICTS:
                raise IncidentMoved(f"incident {incident_id} is {state}: its texts can't be labelled as {verdict}")
            for text in texts:
                if not text.text.strip() or len(text.text) > LONGEST:
                    continue
                row = self._db.insert(labels).values(
                    **text.model_copy(update={"text": text.text.replace("\0", " ")}).model_dump(),
                    key=digest(str(incident_id), text.text),
                    label=VERDICTS[verdict],
                    incident_id=incident_id,
                    labelled_by=by,
                    labelled_at=now,
                )
                added += wrote(conn, row.on_conflict_do_nothing())
            add_entry(conn, now, incident_id, "labelled", by, {"label": VERDICTS[verdict], "texts": added})
            oldest = sa.select(labels.c.key).order_by(labels.c.labelled_at.desc(), labels.c.key).offset(KEPT)
            conn.execute(labels.delete().where(labels.c.key.in_(oldest)))
        return added

    def all(self) -> list[Label]:
        """Oldest first, each text once. A text that two verdicts label differently is left out."""
        with self._db.read() as conn:
            rows = conn.execute(labels.select().order_by(labels.c.labelled_at, labels.c.key)).all()
        verdicts: dict[str, set[int]] = {}
        for row in rows:
            verdicts.setdefault(row.text, set()).add(row.label)
        kept: dict[str, Label] = {}
        for row in rows:
            if len(verdicts[row.text]) == 1:
                kept.setdefault(row.text, Label(**row._mapping))
        return list(kept.values())

    def forget(self, user: str) -> int:
        """Delete every text out of this user's records, whoever wrote it; how many."""
        with self._db.write() as conn:
            gone = conn.execute(labels.delete().where(labels.c.user == user).returning(labels.c.key))
            return len(gone.all())
