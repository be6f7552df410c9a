"""What a release does, as data and as a table: which steps it undoes, to which former value, and what stays and why."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from prefect.artifacts import create_table_artifact

from firebreak.blocks.action import held_by_others
from firebreak.blocks.store import Incident, State, Store
from firebreak.blocks.store.ledger import TRIED, Outcome, Row, Step
from firebreak.flows.executor import undo_of
from firebreak.flows.markdown import inline
from firebreak.flows.shared import load_action

SHORTEST = 8  # of a digest that names a step
NOT_CHOSEN = "not chosen"


@dataclass(frozen=True)
class Part:
    """One step of the incident: undone, or ``kept`` for a reason. ``row``: none yet of a detector's quarantine."""

    step: Step
    row: Row | None
    kept: str | None = None
    entry: str | None = None  # the timeline's word for a step that stays for good


def parts(store: Store, incident: Incident, verdict: State | None, chosen: Sequence[str]) -> list[Part]:
    """Every step of the incident, in the order of undoing: last first. ``verdict`` None: it stays open.

    ``chosen``: actions and digests (their beginning is enough); none: all. A remedy (a promotion, a roll-back) is what
    resolved the incident: only a false alarm takes it back, or somebody who names it.
    Errors: ValueError (nothing has such a name).
    """
    check_names(store, incident, chosen)
    rows, held = _rows(store, incident), untold(store, incident)
    named = [row.step for row in rows if any(_names(name, row.action, row.digest) for name in chosen)]
    planned = [
        _part(row, verdict, not chosen, any(row.step.same_effect(step) for step in named))
        for row in reversed(rows)
        if held is None or row.step != held
    ]
    if held:
        chosen_too = not chosen or any(_names(name, held.action, held.digest(incident.id)) for name in chosen)
        planned.insert(0, Part(held, None, None if chosen_too else NOT_CHOSEN))
    return planned


def check_names(store: Store, incident: Incident, chosen: Sequence[str]) -> None:
    """Errors: ValueError (nothing has such a name)."""
    if not chosen:
        return
    known = [(row.action, row.digest) for row in _rows(store, incident)]
    if held := untold(store, incident):
        known.append((held.action, held.digest(incident.id)))
    if unknown := [name for name in chosen if not any(_names(name, *one) for one in known)]:
        said = ", ".join(f"{digest[:12]} ({action})" for action, digest in known) or "none"
        raise ValueError(f"incident {incident.id} has no step {', '.join(unknown)}; it has: {said}")


def _rows(store: Store, incident: Incident) -> list[Row]:
    return [row for row in store.ledger.rows(incident.id) if not row.undo_of]


def _part(row: Row, verdict: State | None, everything: bool, named: bool) -> Part:
    """``named``: this step was chosen, or another that has the same effect, which would else be held on."""
    kept, entry = None, None
    if not everything and not named:
        kept = NOT_CHOSEN
    elif row.state is Outcome.UNDONE:
        kept = "undone already"
    elif not (row.state is Outcome.SUCCEEDED or (row.state in TRIED and row.attempts)):
        kept = f"nothing was done: {row.state}"
    else:
        action = load_action(row.action)
        if not action.can_undo(row.step):
            kept, entry = "it can't be undone", "not-reversible"
        elif action.remedy and verdict is not State.FALSE_POSITIVE and not named:
            kept, entry = "a remedy stays, unless it was a false alarm or the step is named", "remedy-stays"
    return Part(row.step, row, kept, entry)


def untold(store: Store, incident: Incident) -> Step | None:
    """The quarantine that detectors wrote and no step of the ledger stands for, as a step; None: there is none."""
    step = load_action("quarantine-actor").plan(store, incident, {})
    if not isinstance(step, Step) or step.approval != "auto":
        return None
    same = [row for row in _rows(store, incident) if row.step.same_effect(step)]
    if any(row.state is Outcome.SUCCEEDED or row.state in TRIED for row in same):
        return None
    return same[-1].step if same else step


def others(store: Store, incident: Incident, step: Step) -> list[int]:
    """Other open incidents for which the same effect stands, whether a plan or a detector brought it about."""
    found = set(held_by_others(store, incident, step, load_action(step.action).effect))
    kind = "stop-workflow" if step.action == "stop-workflow" else f"quarantine-{step.parameters.get('kind')}"
    effect = kind, step.target, step.parameters.get("workflow", step.target)
    for hold in store.holds.all():
        if hold.incident_id != incident.id and (hold.kind, hold.target, hold.workflow) == effect:
            found.add(hold.incident_id)
    return sorted(found)


def show(store: Store, incident: Incident, planned: Sequence[Part]) -> list[dict[str, str]]:
    """Write the preview (artifact ``release-<incident>``): a row a step. Nothing else is done."""
    table = [_line(store, incident, part) for part in planned]
    create_table_artifact(
        key=f"release-{incident.id}",
        table=table or [{"step": "none: nothing was done about it"}],
        description=f"What a release of incident {incident.id} would do. Nothing has been done yet.",
    )
    return table


def _line(store: Store, incident: Incident, part: Part) -> dict[str, str]:
    held = others(store, incident, part.step)
    why = part.kept or (
        f"its effect stays as long as incidents {', '.join(map(str, held))} want it"
        if held
        else "nothing else wants it"
    )
    former = part.row.former if part.row else None
    return {
        "step": inline(part.step.title, 200),
        "name it by": (part.row.digest if part.row else part.step.digest(incident.id))[:12],
        "now": str(part.row.state) if part.row else "held by detectors",
        "would be": "kept" if part.kept else "undone",
        "back to": "" if part.kept else inline(json.dumps(former), 300) if former else "as without it",
        "why": inline(why, 300),
    }


def undoing(planned: Sequence[Part]) -> list[Step]:
    """The steps that carry it out."""
    return [undo_of(part.row) for part in planned if part.row and part.kept is None]


def _names(name: str, action: str, digest: str) -> bool:
    return action == name or (len(name) >= SHORTEST and digest.startswith(name))
