"""Approvers: the people whose answers count, known by the codes of an authenticator app (TOTP, RFC 6238).

Seeds are kept encrypted; their key is in the environment of the worker, and nowhere in Prefect or in this store.
"""

import hmac
import re
import unicodedata
from datetime import datetime, timedelta
from enum import StrEnum

import pyotp
import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from firebreak.blocks.store.database import Database
from firebreak.blocks.store.errors import ApproverError
from firebreak.blocks.store.response_schema import approvers

KEY_VARIABLE = "FIREBREAK_APPROVER_KEY"
NAME = r"^[^\W\d_][\w .,'@+\-]{0,79}$"  # a letter first: a code typed into the wrong field is never kept as a name
PERIOD = 30  # seconds a code lives
SKEW = 1  # codes before and after the present one that count as well: clocks differ
TAKEN_UP = timedelta(minutes=10)  # after being typed; no longer, for that time is Prefect's word
WRONG_CODES = 5
LOCKED = timedelta(minutes=15)


class Verdict(StrEnum):
    """What became of an answer."""

    COUNTED = "counted"
    LATE = "late"  # another decision stood already
    EXPIRED = "expired"
    UNKNOWN_PERSON = "unknown-person"
    LOCKED = "locked"
    WRONG_CODE = "wrong-code"
    USED_CODE = "used-code"
    SAME_PERSON = "same-person"
    UNCHECKED = "unchecked"  # the key is missing here, or another one


class Rejected(Exception):
    """The answer doesn't count; ``why`` says it in words that may be shown to anyone."""

    def __init__(self, verdict: Verdict, why: str) -> None:
        super().__init__(why)
        self.verdict, self.why = verdict, why


class Approver(BaseModel):
    """An enrolment, without its seed."""

    name: str
    enrolled_at: datetime
    enrolled_by: str
    failures: int
    locked_until: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class Approvers:
    """Enrolling, listing and revoking. Whose code it was is told where the decision is recorded: `approvals.py`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def enrol(self, name: str, key: str | None, by: str) -> str:
        """A new seed for this person, shown this one time. Errors: ApproverError."""
        name = " ".join(name.split())
        if not re.fullmatch(NAME, name):
            raise ApproverError(f"{name!r}: write a name that begins with a letter, at most 80 characters, no brackets")
        seed = pyotp.random_base32()
        row = {
            "person": folded(name),
            "name": name,
            "seed": _cipher(key).encrypt(seed.encode()).decode(),
            "last_step": 0,
            "failures": 0,
            "enrolled_at": self._db.clock(),
            "enrolled_by": by,
        }
        try:
            with self._db.write() as conn:
                conn.execute(approvers.insert().values(**row))
        except IntegrityError:
            raise ApproverError(f"{name} is enrolled already; revoke that first, e.g. for a lost phone") from None
        return seed

    def revoke(self, name: str, by: str) -> None:
        """From now on this person's codes count no more. Errors: ApproverError."""
        enrolled = approvers.c.person == folded(name), approvers.c.revoked_at.is_(None)
        with self._db.write() as conn:
            revoked = approvers.update().where(*enrolled).values(revoked_at=self._db.clock(), revoked_by=by)
            if not conn.execute(revoked).rowcount:
                raise ApproverError(f"nobody of the name {name} is enrolled")

    def all(self) -> list[Approver]:
        """Every enrolment, the revoked ones included, oldest first."""
        with self._db.read() as conn:
            return [Approver(**row._mapping) for row in conn.execute(approvers.select().order_by(approvers.c.id))]

    def obstacle(self, key: str | None, needed: int = 1) -> str | None:
        """Why no ``needed`` people could be told by their codes here, and what to do; None: nothing is in the way."""
        query = sa.select(approvers.c.seed).where(approvers.c.revoked_at.is_(None))
        with self._db.read() as conn:
            seeds = conn.execute(query).scalars().all()
        if len(seeds) < needed:
            return (
                f"{len(seeds)} of the {needed} approvers it takes are enrolled; "
                "where the system runs: `python -m firebreak.deployments.approvers enrol NAME`"
            )
        said = ""
        for seed in seeds:
            try:
                _seed(key, seed)
            except ApproverError as error:
                said = str(error)
            else:
                return None
        return said


def identify(conn: Connection, now: datetime, typed_at: datetime, name: str, code: str, key: str | None) -> str:
    """Whose code this is, as enrolled; the code is used up in the caller's transaction. Errors: Rejected.

    It is judged by when it was typed: the run that takes the answer up may start a minute later, or be killed first.
    """
    enrolled = approvers.c.person == folded(name), approvers.c.revoked_at.is_(None)
    row = conn.execute(approvers.select().where(*enrolled).with_for_update()).one_or_none()
    if row is None:
        raise Rejected(Verdict.UNKNOWN_PERSON, f"nobody of the name {name} is enrolled as an approver")
    if row.locked_until and now < row.locked_until:
        raise Rejected(Verdict.LOCKED, f"{row.name} is locked until {row.locked_until:%H:%M:%S} UTC: {_wrong()}")
    try:
        step = _step_of(_seed(key, row.seed), code, min(max(typed_at, now - TAKEN_UP), now))
    except ApproverError as error:
        raise Rejected(Verdict.UNCHECKED, str(error)) from None
    this = approvers.c.id == row.id
    if step is None:
        failures = 1 if row.locked_until else row.failures + 1  # a lock that ran out begins anew
        until = now + LOCKED if failures >= WRONG_CODES else None
        conn.execute(approvers.update().where(this).values(failures=failures, locked_until=until))
        locked = f"{row.name} is locked until {until:%H:%M:%S} UTC" if until else _wrong()
        raise Rejected(Verdict.WRONG_CODE, f"wrong code ({failures} of {WRONG_CODES}): {locked}")
    used_up = {"last_step": step, "failures": 0, "locked_until": None}
    if not conn.execute(approvers.update().where(this, approvers.c.last_step < step).values(**used_up)).rowcount:
        raise Rejected(Verdict.USED_CODE, "this code, or a newer one, was used already: wait for the next")
    return str(row.name)


def enrolled_since(conn: Connection, person: str, at: datetime) -> bool:
    """Whether the enrolment that answered then is still in force."""
    same = approvers.c.person == person, approvers.c.revoked_at.is_(None), approvers.c.enrolled_at <= at
    return conn.execute(sa.select(approvers.c.id).where(*same)).first() is not None


def folded(name: str) -> str:
    """One spelling for what people would read as the same name."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _step_of(seed: str, code: str, at: datetime) -> int | None:
    """The time step this code belongs to. Each is compared, in constant time, also after one that fits."""
    totp, present = pyotp.TOTP(seed, interval=PERIOD), int(at.timestamp()) // PERIOD
    near = range(present - SKEW, present + SKEW + 1)
    fits = [step for step in near if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode())]
    return max(fits, default=None)


def _cipher(key: str | None) -> Fernet:
    if not key:
        raise ApproverError(f"{KEY_VARIABLE} is not in the environment here: seeds can't be read or written")
    try:
        return Fernet(key)
    except ValueError:
        raise ApproverError(f"{KEY_VARIABLE} is not a key: it is 32 bytes in url-safe base64") from None


def _seed(key: str | None, encrypted: str) -> str:
    try:
        return _cipher(key).decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise ApproverError(
            f"{KEY_VARIABLE} is another key here than the one the approvers were enrolled with"
        ) from None


def _wrong() -> str:
    return f"{WRONG_CODES} wrong ones in a row lock for {LOCKED.seconds // 60} minutes"
