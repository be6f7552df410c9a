"""An incident as a page that a person reads in a minute: what, who, how sure, what was done, what comes next."""

import textwrap
from collections import Counter
from typing import Any

from prefect.artifacts import create_markdown_artifact

from firebreak.blocks.store import Incident, State, Store
from firebreak.blocks.store.approvals import Judged
from firebreak.blocks.store.automation import TO_APPROVAL
from firebreak.blocks.store.incidents import Sighting
from firebreak.blocks.store.ledger import Outcome
from firebreak.blocks.store.relations import FALSE_ALARM, MORE
from firebreak.detectors.findings import ActorType
from firebreak.flows.approval_standing import standing
from firebreak.flows.asking import TURN
from firebreak.flows.markdown import fenced, inline

TOLD = ("action", "target", "kind", "votes", "why")  # of a timeline entry's detail
COUNTED = {
    MORE: "of them beyond what is kept: only counted",
    FALSE_ALARM: "afterwards, about records that a person has called harmless: dropped",
    TO_APPROVAL: "times a step was turned to approval, because automation is halted",
}
SHOWN = 5  # findings with their text: what a verdict on this page is about


def publish(store: Store, incident_id: int) -> None:
    """Write the incident's artifact (key ``incident-<id>``): a new version each time."""
    create_markdown_artifact(
        markdown=page(store, incident_id),
        key=f"incident-{incident_id}",
        description=f"Firebreak incident {incident_id}",
    )


def page(store: Store, incident_id: int) -> str:
    """The incident as Markdown. All text from records is quoted and bounded."""
    incident = store.incidents.get(incident_id)
    triage = incident.triage or {}
    sightings = store.incidents.sightings(incident_id, limit=50)
    parts = [
        f"# Incident {incident.id}: {inline(incident.title)}",
        _standing(incident, triage),
        _next(store, incident),
        _summary(triage),
        _actions(store, incident_id),
        _decisions(store, incident_id),
        _evidence(incident, sightings),
        _counted(store, incident),
        _around(triage),
        _runbook(sightings),
        _timeline(store, incident_id),
    ]
    return "\n\n".join(part for part in parts if part)


def _standing(incident: Incident, triage: dict[str, Any]) -> str:
    """One wide row, not a tall table: the first screen is for what was done and what comes next."""
    cells = {
        "Severity": f"**{incident.severity}**",
        "State": f"**{incident.state}**",
        "Workflow": inline(incident.workflow),
        "Actor": f"{incident.actor_type} {inline(incident.actor)}",
        **({"Cause": f"**{incident.cause}**"} if incident.cause else {}),
        "Opened (UTC)": f"{incident.opened_at:%Y-%m-%d %H:%M:%S}",
        "Contained": f"{incident.contained_at:%H:%M:%S}" if incident.contained_at else "not yet",
        "Playbook": inline(str(triage.get("playbook", "not triaged yet"))),
    }
    return f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}\n| {' | '.join(cells.values())} |"


def _next(store: Store, incident: Incident) -> str:
    asked = next((a for a in reversed(store.approvals.of_incident(incident.id)) if a.decision is None), None)
    number = incident.id
    said = {
        State.OPEN: "triage takes it up by itself.",
        State.TRIAGED: _planned(incident.triage or {}),
        State.RESPONDING: "the plan below is being carried out.",
        State.AWAITING_APPROVAL: "**you decide**: open the flow run that wrote this page, press Resume, "
        f"answer the form{f' before {asked.expires_at:%H:%M} UTC' if asked else ''}.",
        State.CONTAINED: f"look at the evidence; then run `release/firebreak` for incident {number}"
        f"{_undoes(incident)}.",
        State.NEEDS_PERSON: "the timeline's end says what stopped the plan, or that nothing stands any more; then "
        f"run `triage/firebreak` with again={number}, or "
        f"`release/firebreak` for incident {number}.",
    }.get(incident.state)
    stands = standing(store, asked) if asked and incident.state is State.AWAITING_APPROVAL else []
    return "\n\n".join([f"**Next:** {said}", *stands]) if said else ""


def _planned(triage: dict[str, Any]) -> str:
    if triage.get(TURN):
        return "what runs by itself has run; you are asked about the rest when others have been answered."
    if triage.get("steps"):
        return "the plan below is carried out by itself."
    return "nothing acts on it; it closes after a quiet day."


def _undoes(incident: Incident) -> str:
    if incident.actor_type is not ActorType.DATASET:
        return ", which undoes everything below"
    return ": `resolved` keeps a promotion, a roll-back and a new reference, `false-positive` undoes everything below"


def _summary(triage: dict[str, Any]) -> str:
    model = triage.get("model_summary")
    return f"**A model's summary (its words decide nothing):** {inline(model, 1200)}" if model else ""


def _evidence(incident: Incident, sightings: list[Sighting]) -> str:
    lines = [f"## Evidence: {incident.findings} finding{'s' * (incident.findings != 1)}"]
    for s in sorted(sightings, key=lambda s: -s.finding.severity.rank)[:SHOWN]:
        seen = ", ".join(f"{who} at {at:%H:%M:%S.%f}"[:-3] for who, at in sorted(s.seen_by.items()))
        lines.append(f"**{inline(s.finding.title)}** (rule `{s.finding.rule}`, {s.finding.severity}; seen by {seen})")
        lines += [f"In `{e.field}`:\n\n{fenced(_wrapped(e.excerpt), 300)}" for e in s.finding.evidence[:2]]
    if len(sightings) > SHOWN:
        lines.append(f"… and {incident.findings - SHOWN} more findings in the store.")
    atlas, owasp = ", ".join(incident.atlas) or "none", ", ".join(incident.owasp) or "none"
    before = f" The same trouble before it: incident {incident.related_to}." if incident.related_to else ""
    lines.append(f"Classified as {inline(incident.kind)}; MITRE ATLAS: {atlas}; OWASP LLM: {owasp}.{before}")
    return "\n\n".join(lines)


def _counted(store: Store, incident: Incident) -> str:
    """What opened no incident of its own, and what was only counted."""
    joined = {"joined this incident": incident.findings - 1} if incident.findings > 1 else {}
    counts = joined | {COUNTED[why]: count for why, count in store.automation.suppressed(incident.id).items()}
    kept: Counter[str] = Counter()
    for each in store.allowed.kept():
        kept[each.entry] += each.count
    for entry in store.registers.allow():
        if entry.workflow == incident.workflow and incident.actor in (entry.user, entry.token_id) and kept[entry.name]:
            counts[f"kept back by the allow-list ({inline(entry.name)})"] = kept[entry.name]
    return "\n".join(["## Counted", "", *(f"- {count} {why}" for why, count in counts.items())]) if counts else ""


def _wrapped(text: str) -> str:
    """A block doesn't wrap by itself; the store has the text as it was."""
    lines = (textwrap.fill(line, 90, replace_whitespace=False, drop_whitespace=False) for line in text.split("\n"))
    return "\n".join(lines)


def _around(triage: dict[str, Any]) -> str:
    context = triage.get("context", {})
    lines = [f"- {inline(str(line), 300)}" for line in context.get("lines", [])]
    return "## Around it\n\n" + "\n".join(lines) if lines else ""


def _actions(store: Store, incident_id: int) -> str:
    rows = store.ledger.rows(incident_id)
    if not rows:
        return "## Actions\n\nNone: this incident is only watched." if store.incidents.get(incident_id).triage else ""
    lines = [
        "## Actions",
        "",
        "| State | Approval | Action | Seen by the probe | Digest |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        seen = inline(row.error or ", ".join(f"{k}: {v}" for k, v in (row.probe or {}).items()), 160)
        who = f"{row.approval}: {inline(row.decided_by)}" if row.decided_by else row.approval
        until = f" (until {row.ends_at:%Y-%m-%d %H:%M} UTC)" if row.ends_at and row.state is Outcome.SUCCEEDED else ""
        lines.append(f"| **{row.state}** | {who} | {inline(row.title, 160)}{until} | {seen} | `{row.digest[:12]}` |")
    return "\n".join(lines)


def _decisions(store: Store, incident_id: int) -> str:
    lines = []
    for asked in store.approvals.of_incident(incident_id):
        ended = f"**{asked.decision}** by {inline(asked.decided_by or '')}"
        waits = f"**waiting until {asked.expires_at:%H:%M:%S} UTC**"
        why = f": {inline(asked.comment, 300)}" if asked.comment else ""
        lines.append(f"- plan `{asked.plan_digest[:12]}`: {ended if asked.decision else waits}{why}")
        lines += [f"  - {_answer(judged)}" for judged in store.approvals.answers(asked.id)[-10:]]
    return "## Decisions\n\n" + "\n".join(lines) if lines else ""


def _answer(judged: Judged) -> str:
    became = f"did not count: {inline(judged.why, 300)}" if judged.why else "counted"
    return f"{judged.at:%H:%M:%S} UTC, {inline(judged.by)}: {judged.decision}, {became}"


def _runbook(sightings: list[Sighting]) -> str:
    steps = dict.fromkeys(step for s in sightings for step in s.finding.runbook)
    return "## Runbook\n\n" + "\n".join(f"1. {inline(step, 300)}" for step in steps) if steps else ""


def _timeline(store: Store, incident_id: int) -> str:
    lines = ["## Timeline", "", "| UTC | What | By |", "|---|---|---|"]
    for e in store.incidents.timeline(incident_id)[-40:]:
        what = inline(" ".join([e.entry, *(str(e.detail[key]) for key in TOLD if key in e.detail)]))
        lines.append(f"| {e.at:%H:%M:%S}.{e.at.microsecond // 1000:03d} | {what} | {inline(e.by.split('/')[0], 60)} |")
    return "\n".join(lines)
