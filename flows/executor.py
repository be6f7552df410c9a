"""The executor: takes a plan's rows from the ledger and carries out what may run now, exactly once.

A plain function of store, lease and actions; the flows are thin around it. ``apply`` is always preceded by
``verify``: after a crash the probe decides whether the deed was done. Success means that the probe saw it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from firebreak.blocks.action import Action, ActionError, Probe
from firebreak.blocks.store import Incident, Lease, LeaseLost, PlanChanged, Store, StoreUnavailable
from firebreak.blocks.store.automation import Limits
from firebreak.blocks.store.ledger import SETTLED, OnFailure, Outcome, Row, Step

Loader = Callable[[str], Action]
TAKEN_BACK = "taken-back"  # the timeline's word for a plan whose steps are undone because one of them failed
DOUBTED = (Outcome.ATTEMPTED, Outcome.UNKNOWN, Outcome.SUCCEEDED)  # may be there or not; succeeded: if half undone
LATE = timedelta(minutes=1)  # a request that got no answer may be carried out this much later


@dataclass(frozen=True)
class Result:
    """Where the plan stands: ``waiting`` is the first row that needs a person, ``failed`` the row that stopped it."""

    waiting: Row | None = None
    failed: Row | None = None


def execute(
    store: Store,
    incident: Incident,
    rows: Sequence[Row],
    load: Loader,
    lease: Lease,
    on_failure: Mapping[str, OnFailure] = MappingProxyType({}),
    limits: Limits | None = None,
) -> Result:
    """Run ``rows`` in order until one needs a decision or fails (unless ``on_failure`` of its action is go-on).

    Undoing what was done before a failed step is the caller's, once it has given up on it: ``take_back``.

    Errors: LeaseLost (another has the incident), PlanChanged (a row isn't what its digest says), StoreUnavailable.
    An action's own failure is a ledger row.
    """
    for stale in rows:
        row = store.ledger.row(stale.digest)
        if row.step != stale.step:
            raise _changed(row)
        if row.state in SETTLED and not _undo_tried(store, row):
            continue
        if row.state is Outcome.PLANNED and row.approval != "auto":
            return Result(waiting=row)
        row = carry_out(store, incident, row, load, lease, limits)
        if row.state is Outcome.PLANNED:
            return Result(waiting=row)  # its budget is spent, or automation is halted
        if row.state is not Outcome.SUCCEEDED and on_failure.get(row.action) != "go-on":
            return Result(failed=row)
    return Result()


def take_back(
    store: Store, incident: Incident, rows: Sequence[Row], load: Loader, lease: Lease, failed: Row, plan: str
) -> list[Row]:
    """Undo what this plan (by its digest) has done, last first, because ``failed`` failed. How that went, row by row.

    A step that found its effect there already has done nothing, so there is nothing of its to take back. What can't
    be undone is noted. Killed in the middle, the next run finds the plan by ``failed_before`` and goes on here.
    """
    again = failed_before(store, incident.id, plan) is not None
    if not again:
        why = {"plan_digest": plan, "row": failed.digest, "why": f"{failed.title}: {failed.error}"[:500]}
        store.incidents.note(incident.id, TAKEN_BACK, lease.owner, **why)
    undoing: list[Row] = []
    for stale in reversed(rows):
        row = store.ledger.row(stale.digest)
        if not row.attempts or row.state not in (Outcome.SUCCEEDED, Outcome.UNDONE):
            continue
        if load(row.action).can_undo(row.step):
            undoing += store.ledger.enter(incident.id, [undo_of(row)])
        elif not again:
            store.incidents.note(incident.id, "not-reversible", lease.owner, action=row.action, target=row.target)
    for row in undoing:
        if row.state not in SETTLED:
            carry_out(store, incident, row, load, lease)
    return [store.ledger.row(row.digest) for row in undoing]


def failed_before(store: Store, incident_id: int, plan: str) -> Row | None:
    """The step for whose failure this plan is being taken back, where it is; it is not tried again then."""
    for entry in store.incidents.timeline(incident_id):
        if entry.entry == TAKEN_BACK and entry.detail["plan_digest"] == plan:
            return store.ledger.row(str(entry.detail["row"]))
    return None


def undo_of(row: Row) -> Step:
    """The step that takes a row's effect back."""
    undo = {"title": f"Undo: {row.title}", "undo_of": row.digest, "approval": "auto", "expires_after": None}
    return row.step.model_copy(update=undo)


def carry_out(
    store: Store, incident: Incident, row: Row, load: Loader, lease: Lease, limits: Limits | None = None
) -> Row:
    """One row: look, do it if it isn't done, look again, say what was seen. Still planned: a person must be asked.

    Errors: as `execute`.
    """
    if row.step.digest(incident.id) != row.digest:
        raise _changed(row)
    lease.check()
    try:
        action = load(row.action)
    except (StoreUnavailable, LeaseLost):
        raise
    except Exception as error:  # noqa: BLE001 - a missing or broken block is the row's failure, not the run's
        outcome = Outcome.UNKNOWN if row.state in DOUBTED else Outcome.FAILED
        store.ledger.settle(lease, row, outcome, None, f"action {row.action} can't be loaded: {_say(error)}")
        return store.ledger.row(row.digest)
    before = _probe(action, store, incident, row)
    if before.done:
        if not row.attempts and not row.undo_of and not action.remedy:
            store.ledger.inherit(lease, row, action.effect)
        store.ledger.settle(lease, row, Outcome.SUCCEEDED, {**before.seen, "found": "already so"})
    elif before.done is None and row.state in DOUBTED:
        note = "a run ended between the deed and its check, and no probe can tell whether the effect is there"
        store.ledger.settle(lease, row, Outcome.UNKNOWN, before.seen, note)
    elif row.state is Outcome.UNKNOWN and not action.repeatable and store.now - row.updated_at < LATE:
        return row  # it may still come, and would then be there twice
    elif limits and _needs_leave(row) and store.automation.allow(lease, row, limits):
        return store.ledger.row(row.digest)
    else:
        _apply(action, store, incident, row, lease)
    return store.ledger.row(row.digest)


def _undo_tried(store: Store, row: Row) -> bool:
    """A run ended while it undid this step: whether the effect is still there, only a probe can tell."""
    return row.state is Outcome.SUCCEEDED and store.ledger.undo_tried(row.digest)


def _needs_leave(row: Row) -> bool:
    """Nobody was asked. Taking something back is never held up, and a step begun is counted already."""
    return row.state is Outcome.PLANNED and row.approval == "auto" and not row.undo_of


def _changed(row: Row) -> PlanChanged:
    return PlanChanged(f"incident {row.incident_id}: {row.title}: its row in the ledger was changed; it doesn't run")


def _apply(action: Action, store: Store, incident: Incident, row: Row, lease: Lease) -> None:
    error, refused = None, False
    try:
        former = {} if row.undo_of else action.former(store, incident, row.step)
        store.ledger.attempt(lease, row, former)
        if row.undo_of:
            action.undo(store, incident, row.step, _former(store, row))
        else:
            action.apply(store, incident, row.step)
    except (StoreUnavailable, LeaseLost):
        raise
    except Exception as problem:  # noqa: BLE001 - whatever an action raises, the probe decides what is true
        error, refused = _say(problem), isinstance(problem, ActionError)
    after = _probe(action, store, incident, row)
    outcome = {True: Outcome.SUCCEEDED, False: Outcome.FAILED, None: Outcome.UNKNOWN}[after.done]
    if after.done is None and refused:
        outcome = Outcome.FAILED  # the action itself says that nothing was done
    if after.done is False and error is not None and not refused and not action.repeatable:
        outcome, error = Outcome.UNKNOWN, f"{error}; the effect isn't there, but may still come"
    if outcome is Outcome.FAILED and error is None:
        error = "apply returned, but the probe doesn't see the effect"
    store.ledger.settle(lease, row, outcome, after.seen, error)


def _probe(action: Action, store: Store, incident: Incident, row: Row) -> Probe:
    try:
        if row.undo_of:
            return action.verify_undone(store, incident, row.step, _former(store, row))
        return action.verify(store, incident, row.step)
    except (StoreUnavailable, LeaseLost):
        raise
    except Exception as error:  # noqa: BLE001 - a probe that fails has seen nothing
        return Probe(done=None, seen={"probe failed": _say(error)})


def _former(store: Store, row: Row) -> dict[str, object]:
    return store.ledger.row(row.undo_of or "").former or {}


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
