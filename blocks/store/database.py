"""The connection under the store: SQLite in WAL mode or PostgreSQL, transactions, and what 'away' means."""

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from firebreak.blocks.store import schema
from firebreak.blocks.store.errors import StoreMisconfigured, StoreUnavailable

POSTGRESQL_LIMITS = "-c lock_timeout=5s -c statement_timeout=15s -c idle_in_transaction_session_timeout=15s"
AWAY = ("08", "40", "53", "55", "57")  # SQLSTATE classes that pass by themselves; others are the statement's fault
BUSY_SECONDS = 5  # that a writer of SQLite waits for another before the store counts as away
REPORT_LOCK = 0x46495245  # 'FIRE': PostgreSQL advisory lock that orders reports (SQLite has one writer anyway)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """Transactions on one store. ``clock`` is replaceable so that tests can move time."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self.engine = engine
        self.clock = clock

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with _available(), self.engine.connect() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds SQLite's write lock from its first statement (no upgrade deadlock)."""
        with (
            _available(),
            self.engine.connect().execution_options(firebreak_write=True) as conn,
            conn.begin(),
        ):
            yield conn

    def insert(self, table: sa.Table) -> Any:
        """The dialect's own INSERT, which has ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
        return (postgresql if self.engine.dialect.name == "postgresql" else sqlite).insert(table)

    def order_reports(self, conn: Connection) -> None:
        if self.engine.dialect.name == "postgresql":
            conn.execute(sa.select(sa.func.pg_advisory_xact_lock(REPORT_LOCK)))


@lru_cache
def upsert(table: sa.Table, columns: tuple[str, ...], otherwise: str = "DO NOTHING") -> sa.TextClause:
    """INSERT … ON CONFLICT for what every finding writes, its parameters named like the columns.

    SQLAlchemy compiles its own such statements anew each time, which was half of a finding's time; this is the wording
    that both databases have. Table, columns and ``otherwise`` are the code's, never data.
    """
    values = ", ".join(f":{column}" for column in columns)
    words = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT {otherwise}"  # noqa: S608
    return sa.text(words).bindparams(*(sa.bindparam(column, type_=table.c[column].type) for column in columns))


def wrote(conn: Connection, statement: Any) -> bool:
    """Run an INSERT … ON CONFLICT; True when it wrote. (Drivers disagree on rowcount here, RETURNING doesn't.)"""
    return conn.execute(statement.returning(sa.literal_column("1"))).first() is not None


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("incident store: no connection free in time") from error
    except OperationalError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state is not None and not state.startswith(AWAY):
            raise
        raise StoreUnavailable(f"incident store is away: {_first_line(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable(f"incident store is away: {_first_line(error)}") from error
        raise


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0][:200] if str(error.orig).strip() else type(error.orig).__name__


@lru_cache(maxsize=16)
def connect(url: str) -> Engine:
    """One engine per URL and process, migrated to this release's schema.

    Errors: StoreMisconfigured (the URL is unusable), StoreUnavailable (the database is).
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreMisconfigured(
            "incident store URL is not a database URL; write sqlite:////absolute/path.db or "
            "postgresql+psycopg://user:password@host/name"
        ) from None
    if "@" in (parsed.host or ""):
        raise StoreMisconfigured("incident store URL: write an @ in the password as %40")
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed.database, url)
    elif parsed.get_backend_name() == "postgresql":
        try:
            engine = sa.create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,
                pool_timeout=5,
                connect_args={"connect_timeout": 3, "options": POSTGRESQL_LIMITS},
            )
        except (ModuleNotFoundError, NoSuchModuleError):
            raise StoreMisconfigured("PostgreSQL needs the extra: pip install 'firebreak[postgresql]'") from None
    else:
        raise StoreMisconfigured(f"incident store on {parsed.get_backend_name()!r}: only sqlite and postgresql work")
    _migrate(Database(engine))
    return engine


def _sqlite(path: str | None, url: str) -> Engine:
    if not path or path == ":memory:":
        raise StoreMisconfigured(f"incident store {url!r} would live in one process only; give a file's path")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        os.chmod(path, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"incident store file {path}: {error.strerror}") from error
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` below says
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        write = conn.get_execution_options().get("firebreak_write")
        if write:
            _begin_to_write(conn)
        else:
            conn.exec_driver_sql("BEGIN")

    return engine


def _begin_to_write(conn: Connection) -> None:
    """As soon as nobody else writes. SQLite's own waiting sleeps longer each time it looks, so who came later passes:
    with four busy writers somebody waited for seconds.
    """
    raw, ends = cast(sqlite3.Connection, conn.connection.driver_connection), time.monotonic() + BUSY_SECONDS
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < ends:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
            time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - no secret
        conn.exec_driver_sql("BEGIN IMMEDIATE")  # says what is wrong
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def _migrate(db: Database) -> None:
    """Bring the schema to this release, once, however many processes start together."""
    with db.read() as conn:
        if _revision(conn) == schema.REVISION:
            return
    with db.write() as conn:
        db.order_reports(conn)
        if _revision(conn) == schema.REVISION:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "firebreak.blocks.store:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = conn
        command.upgrade(config, schema.REVISION)


def _revision(conn: Connection) -> str | None:
    if not sa.inspect(conn).has_table("alembic_version"):
        return None
    found: str | None = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found is not None and found > schema.REVISION:
        raise StoreMisconfigured(
            f"incident store has schema {found}, this Firebreak knows {schema.REVISION}: upgrade Firebreak"
        )
    return found
