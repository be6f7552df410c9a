"""What detectors and flows must know beforehand: the response policy, the token register, the canaries, thresholds."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.detection_schema import thresholds
from firebreak.blocks.store.schema import canaries, policies, sources
from firebreak.blocks.store.system_prompts import put_system_prompt, read_system_prompts
from firebreak.detectors.allowlist import Allow
from firebreak.detectors.facts import Facts, TokenGrant
from firebreak.detectors.leaks.fingerprints import Fingerprint


class Threshold(BaseModel):
    """One threshold of a score: what it rests on, who put it in force, and when."""

    name: str
    value: float
    body: dict[str, Any]
    by: str
    at: datetime


class Registers:
    """Policy, tokens, canaries and scan positions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put_policy(self, text: str, tokens: Sequence[TokenGrant] | None = None, allow: Sequence[Allow] = ()) -> str:
        """Make ``text`` (already validated) the policy in force. The same text again adds nothing. Its SHA-256."""
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        register = None if tokens is None else [token.model_dump(mode="json") for token in tokens]
        entries = [entry.model_dump(mode="json") for entry in allow]
        with self._db.write() as conn:
            latest = sa.select(policies.c.sha256).order_by(policies.c.id.desc()).limit(1)
            if conn.execute(latest).scalar() != sha256:
                values = {"sha256": sha256, "text": text, "tokens": register, "allow": entries}
                conn.execute(policies.insert().values(put_at=self._db.clock(), **values))
        return sha256

    def allow(self) -> list[Allow]:
        """The policy's allow-list, entries whose last day is over included."""
        with self._db.read() as conn:
            entries = conn.execute(sa.select(policies.c.allow).order_by(policies.c.id.desc()).limit(1)).scalar()
        return [Allow.model_validate(entry) for entry in entries or ()]

    def policy(self) -> str | None:
        """The text in force, or None before the first bootstrap."""
        with self._db.read() as conn:
            latest = sa.select(policies.c.text).order_by(policies.c.id.desc()).limit(1)
            found: str | None = conn.execute(latest).scalar()
        return found

    def facts(self) -> Facts:
        """What the rules' derived fields are computed from."""
        with self._db.read() as conn:
            latest = sa.select(policies.c.tokens, policies.c.allow).order_by(policies.c.id.desc()).limit(1)
            register, entries = conn.execute(latest).one_or_none() or (None, None)
            issued: dict[str, list[str]] = {}
            for row in conn.execute(sa.select(canaries).order_by(canaries.c.issued_at)):
                issued.setdefault(row.workflow, []).append(row.canary)
            prompts = read_system_prompts(conn)
            newest_last = sa.select(thresholds.c.name, thresholds.c.value).order_by(thresholds.c.id)
            fitted = {row.name: row.value for row in conn.execute(newest_last)}
        tokens = None if register is None else {t["token_id"]: TokenGrant(**t) for t in register}
        today = self._db.clock().date()
        in_force = [entry for entry in map(Allow.model_validate, entries or ()) if entry.until >= today]
        return Facts(
            canaries={workflow: tuple(found) for workflow, found in issued.items()},
            system_prompts=prompts,
            tokens=tokens,
            thresholds=fitted,
            allow=tuple(in_force),
        )

    def put_threshold(self, name: str, value: float, body: dict[str, Any], by: str) -> None:
        """Put the threshold of a score in force; ``body`` says what it rests on. The former ones are kept."""
        with self._db.write() as conn:
            row = {"name": name, "value": value, "body": body, "put_by": by, "put_at": self._db.clock()}
            conn.execute(thresholds.insert().values(row))

    def thresholds(self, name: str) -> list[Threshold]:
        """Every threshold a score has had, oldest first: the last one is in force. None: the shipped one is."""
        query = thresholds.select().where(thresholds.c.name == name).order_by(thresholds.c.id)
        with self._db.read() as conn:
            return [
                Threshold(name=row.name, value=row.value, body=row.body, by=row.put_by, at=row.put_at)
                for row in conn.execute(query)
            ]

    def canary(self, workflow: str) -> str:
        """The workflow's canary for its system prompt, issued at the first ask. A random word, found by value."""
        query = sa.select(canaries.c.canary).where(canaries.c.workflow == workflow, canaries.c.current)
        with self._db.read() as conn:
            found = conn.execute(query).scalar()
        if found is None:
            with self._db.write() as conn:
                self._db.order_reports(conn)
                found = conn.execute(query).scalar() or self._issue(conn, workflow)
        return str(found)

    def renew_canary(self, workflow: str) -> str:
        """Issue a new canary; answers are searched for the old ones as well, for good."""
        with self._db.write() as conn:
            self._db.order_reports(conn)
            conn.execute(canaries.update().where(canaries.c.workflow == workflow).values(current=False))
            return self._issue(conn, workflow)

    def _issue(self, conn: Connection, workflow: str) -> str:
        canary = f"FBC-{secrets.token_hex(12)}"
        values = {"workflow": workflow, "current": True, "issued_at": self._db.clock()}
        conn.execute(canaries.insert().values(canary=canary, **values))
        return canary

    def put_system_prompt(self, workflow: str, prompt: Fingerprint) -> bool:
        """Keep a system prompt's fingerprint, so that answers are searched for it. Whether it was new."""
        return put_system_prompt(self._db, workflow, prompt)

    def position(self, source: str) -> dict[str, Any] | None:
        with self._db.read() as conn:
            found: dict[str, Any] | None = conn.execute(
                sa.select(sources.c.position).where(sources.c.source == source)
            ).scalar()
        return found

    def set_aside(self, source: str) -> int:
        """How many malformed lines this source has had."""
        with self._db.read() as conn:
            return int(conn.execute(sa.select(sources.c.set_aside).where(sources.c.source == source)).scalar() or 0)
