"""The allow-list's page on a real Prefect server: new when something changed, quiet when only counts did."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from firebreak.blocks.store import Batch, Store
from firebreak.deployments.system import System
from firebreak.detectors.allowlist import Allow
from firebreak.flows.allow_page import KEY, tell_allowed
from firebreak.flows.runs import Runs
from tests.stores import Clock

pytestmark = pytest.mark.integration


def entry(user: str, days: int) -> Allow:
    until = datetime.now(UTC).date() + timedelta(days=days)
    return Allow(rule="prompt-injection-*", workflow="w", user=user, reason="<b>ours</b>", until=until)


def pages() -> list[list[dict[str, Any]]]:
    """Every version of the page, oldest first."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[KEY]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return [json.loads(str(one.data)) for one in sorted(found, key=lambda one: str(one.created))]


def test_it_shows_each_entry_and_says_once_that_one_is_over(prefect_server: System, tmp_path: Path) -> None:
    clock = Clock()
    clock.now = datetime.now(UTC)  # Prefect's own times must fit
    store, before = Store(f"sqlite:///{tmp_path}/store.db", clock), len(pages())

    @flow(name="look")
    def look() -> list[str]:
        with get_client(sync_client=True) as client:
            return tell_allowed(store, Runs(client))

    ada, eve = entry("ada", 30), entry("eve", -1)
    store.registers.put_policy("one", None, [ada, eve])
    (said,) = look()
    assert "for user eve" in said
    assert "it keeps nothing back any more" in said
    store.report(Batch(allowed={ada.name: 3}), "guard")
    assert look() == []  # only a count: not yet
    assert len(pages()) == before + 1
    clock.forward(3601)
    assert look() == []
    shown = pages()[-1]
    assert [row["in force"] for row in shown] == ["yes", "over"]
    assert shown[0]["kept back"].startswith("3 by guard, last ")
    assert "<b>" not in shown[0]["reason"]
    clock.forward(31 * 24 * 3600)
    (said,) = look()
    assert "for user ada" in said
    store.registers.put_policy("two")
    assert look() == []
    assert pages()[-1] == []
    assert look() == []
    assert len(pages()) == before + 4
