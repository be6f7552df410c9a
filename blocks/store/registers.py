"""What detectors and flows must know beforehand: the response policy, the token register, the canaries."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.schema import canaries, policies, sources
from firebreak.detectors.facts import Facts, TokenGrant


class Registers:
    """Policy, tokens, canaries and scan positions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put_policy(self, text: str, tokens: Sequence[TokenGrant] | None = None) -> str:
        """Make ``text`` (already validated) the policy in force. The same text again adds nothing. Its SHA-256."""
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        register = None if tokens is None else [token.model_dump(mode="json") for token in tokens]
        with self._db.write() as conn:
            latest = sa.select(policies.c.sha256).order_by(policies.c.id.desc()).limit(1)
            if conn.execute(latest).scalar() != sha256:
                conn.execute(
                    policies.insert().values(sha256=sha256, text=text, tokens=register, put_at=self._db.clock())
                )
        return sha256

    def policy(self) -> str | None:
        """The text in force, or None before the first bootstrap."""
        with self._db.read() as conn:
            latest = sa.select(policies.c.text).order_by(policies.c.id.desc()).limit(1)
            found: str | None = conn.execute(latest).scalar()
        return found

    def facts(self) -> Facts:
        """What the rules' derived fields are computed from."""
        with self._db.read() as conn:
            register = conn.execute(sa.select(policies.c.tokens).order_by(policies.c.id.desc()).limit(1)).scalar()
            issued: dict[str, list[str]] = {}
            for row in conn.execute(sa.select(canaries).order_by(canaries.c.issued_at)):
                issued.setdefault(row.workflow, []).append(row.canary)
        tokens = None if register is None else {t["token_id"]: TokenGrant(**t) for t in register}
        return Facts(canaries={workflow: tuple(found) for workflow, found in issued.items()}, tokens=tokens)

    def canary(self, workflow: str) -> str:
        """The workflow's canary for its system prompt, issued at the first ask. A random word, found by value."""
        query = sa.select(canaries.c.canary).where(canaries.c.workflow == workflow, canaries.c.current)
        with self._db.read() as conn:
            found = conn.execute(query).scalar()
        if found is None:
            with self._db.write() as conn:
                self._db.order_reports(conn)
                found = conn.execute(query).scalar()
                if found is None:
                    found = f"FBC-{secrets.token_hex(12)}"
                    values = {"workflow": workflow, "current": True, "issued_at": self._db.clock()}
                    conn.execute(canaries.insert().values(canary=found, **values))
        return str(found)

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
