"""What triage adds to an incident: the records around it, the actor's activity, the flow run, recent deployments."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
)

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Incident, Store
from firebreak.detectors.leaks.masking import masked
from firebreak.detectors.records import Record
from firebreak.flows.markdown import visible
from firebreak.flows.shared import load_block

BEFORE, AFTER = timedelta(minutes=30), timedelta(minutes=5)
DEPLOYED_WITHIN = timedelta(hours=24)
KEPT_RECORDS = 20


def context_of(store: Store, incident: Incident) -> dict[str, Any]:
    """JSON-able context with ``lines`` for people and ``records`` as evidence. A part that fails says so."""
    sightings = store.incidents.sightings(incident.id, limit=50)
    lines: list[str] = []
    records: list[dict[str, Any]] = []

    def part(name: str, read: Callable[[], None]) -> None:
        try:
            read()
        except Exception as error:  # noqa: BLE001 - whatever is missing, triage goes on without it and says so
            lines.append(f"{name}: not available ({type(error).__name__}: {error})")

    def surroundings() -> None:
        log = load_block(InteractionLog)
        first, last = incident.opened_at, incident.last_seen_at
        if sightings:
            first = min(s.finding.time for s in sightings)
            last = max(s.finding.time for s in sightings)
        nearby = log.recent(since=first - BEFORE, until=last + AFTER)
        lines.extend(_activity(incident, nearby))
        accused = {s.finding.record_id for s in sightings}
        mine = [r for r in nearby if r.id in accused or _concerns(incident, r)]
        canaries = store.facts().canaries.get(incident.workflow, ())
        records.extend(_bounded(r, canaries) for r in mine[-KEPT_RECORDS:])

    def runs() -> None:
        for run_id in sorted({s.finding.flow_run_id for s in sightings if s.finding.flow_run_id})[:3]:
            with get_client(sync_client=True) as client:
                run = client.read_flow_run(UUID(run_id))
            state = run.state.name if run.state else "no state"
            lines.append(f"flow run {run.name} ({run.id}): {state}, started {run.start_time}")

    def deployments() -> None:
        with get_client(sync_client=True) as client:
            found = client.read_deployments(
                flow_filter=FlowFilter(name=FlowFilterName(any_=[incident.workflow])),
            )
        for deployment in found:
            updated = deployment.updated or datetime.min.replace(tzinfo=UTC)
            recent = updated >= incident.opened_at - DEPLOYED_WITHIN
            lines.append(
                f"deployment {deployment.name}: changed {updated:%Y-%m-%d %H:%M} UTC{' (recently)' if recent else ''}"
            )

    part("interaction log", surroundings)
    part("flow run", runs)
    part("deployments", deployments)
    return {"lines": lines, "records": records}


def _activity(incident: Incident, nearby: list[Record]) -> list[str]:
    mine = [r for r in nearby if _concerns(incident, r)]
    same = [r for r in nearby if r.workflow == incident.workflow]
    errors = sum(1 for r in mine if r.error)
    lines = [
        f"{len(same)} calls of {incident.workflow} around it, {len(mine)} of them by {incident.actor_type} "
        f"{incident.actor} ({errors} refused or failed)"
    ]
    if users := {r.user for r in mine if r.user and r.user != incident.actor}:
        lines.append(f"other users concerned: {', '.join(sorted(users)[:5])}")
    if tokens := {r.token_id for r in mine if r.token_id}:
        lines.append(f"tokens used: {', '.join(sorted(tokens)[:5])}")
    return lines


def _concerns(incident: Incident, record: Record) -> bool:
    if record.workflow != incident.workflow:
        return False
    known = {
        "user": record.user,
        "token": record.token_id,
        "workflow": record.workflow,
        "dataset": incident.actor,  # a dataset is all of its workflow's records
    }
    return known[incident.actor_type.value] == incident.actor


def _bounded(record: Record, canaries: Sequence[str]) -> dict[str, Any]:
    """A record as evidence: secrets masked, texts cut at 2,000 characters (the whole line stays in the log)."""
    body = record.model_dump(mode="json", exclude={"parts"})
    for name in ("prompt", "response", "error"):
        if text := body[name]:
            text = masked(text)
            for canary in canaries:
                text = re.sub(re.escape(canary), "*" * len(canary), text, flags=re.IGNORECASE)
            body[name] = visible(text, 2000)
    return body
