"""Asking a person: the form, where its answer is kept, and finding an answer whose run died before recording it."""

import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal
from uuid import UUID

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput, keyset_from_base_key
from prefect.input.actions import read_flow_run_input
from pydantic import Field, ValidationError

from firebreak.blocks.store import Incident
from firebreak.blocks.store.incidents import Sighting
from firebreak.blocks.store.ledger import Row
from firebreak.flows.markdown import inline

Part = Literal["description", "response", "schema"]
MARGIN_SECONDS = 120  # Prefect's own timeout comes this much later than ours: the backstop
TRIES = 5  # unreadable answers before the request is given up
NAME = r"^[\w .,'@+\-]{1,80}$"


class ApprovalForm(RunInput):
    """What a person fills in. Neither decision nor name has a default, so a bare resume is refused."""

    # Typed, not picked: in Prefect 3.8's UI a click into a select opens it and closes it again.
    decision: str = Field(
        pattern=r"^(approve|refuse)$",
        description="type approve (the plan above is carried out as it stands) or refuse",
    )
    name: str = Field(pattern=NAME, description="who decides; kept in the ledger as typed, not verified")
    comment: str = Field(default="", max_length=500, description="why; kept in the ledger")


def key(plan_digest: str, attempt: int) -> str:
    """The suspension's key: bound to the plan, so an answer to another plan is never found under it."""
    return f"approval-{plan_digest[:16]}-{attempt}"


def ask(
    incident: Incident, sightings: Sequence[Sighting], rows: Sequence[Row], plan_digest: str, seconds_left: float
) -> ApprovalForm:
    """Suspend this run until the form is answered; the run is started anew then and comes back here.

    Raises Prefect's Pause (the suspension itself). An answer that doesn't fit the form is asked for again.
    """
    form = ApprovalForm.with_initial_data(description=_description(incident, sightings, rows, plan_digest))
    timeout = max(int(seconds_left) + MARGIN_SECONDS, 1)
    for attempt in range(TRIES):
        try:
            return suspend_flow_run(wait_for_input=form, timeout=timeout, key=key(plan_digest, attempt))
        except ValidationError:
            continue  # an API client can send what the form would refuse
    raise RuntimeError(f"{TRIES} answers in a row didn't fit the form; `reconcile` asks again")


def run_input(run: str, plan_digest: str, attempt: int, part: Part) -> Any:
    """A part of the form that a run suspended on; None when it was never saved."""
    keyset = keyset_from_base_key(f"suspended-{key(plan_digest, attempt)}")
    return read_flow_run_input(keyset[part], UUID(run))


def find_answer(runs: Sequence[str], plan_digest: str) -> ApprovalForm | None:
    """An answer that one of these runs received but did not live to record."""
    for run, attempt in itertools.product(runs, range(TRIES)):
        if answer := run_input(run, plan_digest, attempt, "response"):
            with suppress(ValidationError):
                return ApprovalForm.model_validate(answer)
    return None


def _description(incident: Incident, sightings: Sequence[Sighting], rows: Sequence[Row], plan_digest: str) -> str:
    """The dialog is narrow, and scrolls where the window is low: the plan first, and no tables."""
    steps = "\n".join(
        f"1. {inline(r.title, 160)}: {'**you decide**' if r.approval != 'auto' else 'automatic'} ({r.state})"
        for r in rows
    )
    gravest = sorted(sightings, key=lambda s: -s.finding.severity.rank)
    seen = next((f"In the {e.field}: “{inline(e.excerpt, 160)}” " for s in gravest for e in s.finding.evidence), "")
    groups = " ".join(plan_digest[at : at + 16] for at in range(0, len(plan_digest), 16))
    return (
        f"**Incident {incident.id}: {inline(incident.title)}**\n\n"
        f"**{incident.severity}** · workflow {inline(incident.workflow)} · "
        f"{incident.actor_type} {inline(incident.actor)} · {incident.findings} findings\n\n"
        f"{steps}\n\n"
        f"Plan digest: {groups}\n\n"
        f"{seen}All evidence: artifact incident-{incident.id} of this run."
    )
