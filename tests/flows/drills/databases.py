"""Empty stores, on each database this machine has."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from firebreak.deployments.ports import free_port
from tests.stores import postgres_bin, postgres_server


@contextmanager
def empty_stores(each: int = 1) -> Iterator[dict[str, list[str]]]:
    """So many URLs by the name of the database: SQLite, and PostgreSQL where it can be had."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as data:
        urls, binaries = {"SQLite": [f"sqlite:///{folder}/store{n}.db" for n in range(each)]}, postgres_bin()
        if binaries is None:
            print("no PostgreSQL on this machine and no right to install it")
            yield urls
            return
        with postgres_server(Path(data), free_port(), binaries) as server:
            admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
            with admin.connect() as conn:
                for n in range(each):
                    conn.execute(sa.text(f"CREATE DATABASE store{n}"))
            admin.dispose()
            yield urls | {"PostgreSQL": [server.rsplit("/", 1)[0] + f"/store{n}" for n in range(each)]}
