"""The incident's life as a table. A step that isn't in it raises."""

from enum import StrEnum

from firebreak.blocks.store.errors import IllegalTransition


class State(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    TRIAGED = "triaged"
    AWAITING_APPROVAL = "awaiting-approval"
    RESPONDING = "responding"
    CONTAINED = "contained"
    RESOLVED = "resolved"
    FALSE_POSITIVE = "false-positive"
    NEEDS_PERSON = "needs-person"


CLOSED = frozenset({State.RESOLVED, State.FALSE_POSITIVE})
_ENDS = CLOSED | {State.NEEDS_PERSON}

TRANSITIONS: dict[State, frozenset[State]] = {
    State.OPEN: frozenset({State.TRIAGED}) | _ENDS,
    # back to open: a graver finding joined, so it is triaged again
    State.TRIAGED: frozenset({State.OPEN, State.RESPONDING}) | _ENDS,
    # back to triaged: what runs by itself has run, and others are being asked about before it
    State.RESPONDING: frozenset({State.AWAITING_APPROVAL, State.CONTAINED, State.TRIAGED}) | _ENDS,
    State.AWAITING_APPROVAL: frozenset({State.RESPONDING}) | _ENDS,
    # back to triaged: a retraining ended, and its promotion is the new plan
    State.CONTAINED: frozenset({State.OPEN, State.TRIAGED, State.RESPONDING}) | _ENDS,
    State.NEEDS_PERSON: frozenset({State.OPEN, State.RESPONDING}) | CLOSED,
    State.RESOLVED: frozenset({State.OPEN}),  # it goes on: the same trouble again, soon after
    State.FALSE_POSITIVE: frozenset(),
}


def check(before: State, after: State) -> None:
    """Raise IllegalTransition unless the table has this step."""
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before])) or "nothing: it is closed"
        raise IllegalTransition(f"an incident can't go from {before} to {after}; from {before} it can go to {allowed}")
