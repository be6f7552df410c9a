import os
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from firebreak.blocks.store import Store, StoreMisconfigured, StoreUnavailable
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.schema import metadata


def test_migrations_give_the_schema_the_code_uses(store_url: str) -> None:
    with connect(store_url).connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []
    connect(store_url).dispose()


def test_a_second_opening_migrates_nothing(store: Store, store_url: str) -> None:
    store.canary("answer-tickets")
    assert Store(store_url).canary("answer-tickets") == store.canary("answer-tickets")


def test_sqlite_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Store(f"sqlite:///{tmp_path}/store.db").canary("w")
    finally:
        os.umask(before)
    for file in tmp_path.glob("store.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    with connect(f"sqlite:///{tmp_path}/store.db").connect() as conn:
        assert conn.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("not a url", "not a database URL"),
        ("mysql://x/y", "only sqlite and postgresql"),
        ("sqlite://", "give a file's path"),
        ("postgresql://u:p@ss@host/db", "write an @ in the password as %40"),
        ("postgresql://u:p@host:port/db", "not a database URL"),
    ],
)
def test_an_unusable_url_is_refused_with_what_to_write(url: str, says: str) -> None:
    with pytest.raises(StoreMisconfigured, match=says):
        Store(url)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with connect(url).begin() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    connect.cache_clear()
    with pytest.raises(StoreMisconfigured, match="upgrade Firebreak"):
        Store(url)


def test_a_database_that_is_away_is_unavailable_and_the_password_stays_unsaid(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Store("postgresql+psycopg://user:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(caught.value)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreUnavailable):
        Store(f"sqlite:///{blocked}/store.db")
