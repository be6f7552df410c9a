"""The allow-list as a page: what each entry keeps back and why, until when, and how often it did."""

import json
from datetime import timedelta
from typing import Any

from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

from firebreak.blocks.store import Store
from firebreak.flows.markdown import inline
from firebreak.flows.runs import Runs

KEY = "allow-list"
COUNTS_EVERY = timedelta(hours=1)  # a page for every finding kept back would be no page

Row = dict[str, str]


def tell_allowed(store: Store, runs: Runs) -> list[str]:
    """Write the page when the list has changed, once an hour when only its counts have; entries newly over are said."""
    rows = table(store)
    shown, age = _latest(store)
    if rows == shown or (not rows and shown is None):
        return []
    same_list = shown is not None and [_without_count(r) for r in rows] == [_without_count(r) for r in shown]
    if same_list and age < COUNTS_EVERY:
        return []
    create_table_artifact(key=KEY, table=rows, description="Findings that the policy's allow-list keeps back")
    said_before = {row["entry"] for row in shown or () if row["in force"] == "over"}
    return [
        f"allow-list: {row['entry']}: its last day was {row['until']}: it keeps nothing back any more"
        for row in rows
        if row["in force"] == "over" and row["entry"] not in said_before
    ]


def table(store: Store) -> list[Row]:
    """One row an entry of the policy in force."""
    counts: dict[str, list[str]] = {}
    for kept in store.allowed.kept():
        counts.setdefault(kept.entry, []).append(f"{kept.count} by {kept.seen_by}, last {kept.last_at:%Y-%m-%d %H:%M}")
    return [
        {
            "entry": inline(entry.name, 300),
            "reason": inline(entry.reason, 300),
            "until": f"{entry.until}",
            "in force": "over" if entry.until < store.now.date() else "yes",
            "kept back": "; ".join(counts.get(entry.name, ["none yet"])),
        }
        for entry in store.registers.allow()
    ]


def _latest(store: Store) -> tuple[list[Row] | None, timedelta]:
    """The page's rows as they are now, and how old it is."""
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[KEY]))
    with get_client(sync_client=True) as client:
        found = client.read_latest_artifacts(artifact_filter=wanted)
    if not found:
        return None, timedelta(0)
    data: Any = found[0].data
    updated = found[0].updated
    age = store.now - updated if updated else COUNTS_EVERY
    return (json.loads(data) if isinstance(data, str) else data), age


def _without_count(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "kept back"}
