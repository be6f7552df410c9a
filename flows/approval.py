"""Asking a person: the form, where its answer is kept, and finding an answer whose run died before recording it."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput, keyset_from_base_key
from prefect.input.actions import read_flow_run_input
from pydantic import Field, ValidationError

from firebreak.blocks.store import Incident
from firebreak.blocks.store.approvals import Answer, Identity
from firebreak.blocks.store.approvers import NAME
from firebreak.blocks.store.incidents import Sighting
from firebreak.blocks.store.ledger import Row
from firebreak.flows.markdown import inline

MARGIN_SECONDS = 120  # Prefect's own timeout comes this much later than ours: the backstop
NOBODY = "firebreak"  # who answers the form of an expired request, so that its run can end
TRIES = 20  # answers that one run takes before another one asks


class ApprovalForm(RunInput):
    """What a person fills in. Neither decision nor name has a default, so a bare resume is refused."""

    # Typed, not picked: in Prefect 3.8's UI a click into a select opens it and closes it again.
    decision: str = Field(
        pattern=r"^(approve|refuse)$",
        description="type approve (the plan above is carried out as it stands) or refuse",
    )
    name: str = Field(pattern=NAME, description="who decides; kept as typed, unidentified")
    comment: str = Field(default="", max_length=500, description="why; kept in the ledger")


class IdentifiedForm(ApprovalForm):
    """The same with a code, which says who it is."""

    name: str = Field(pattern=NAME, description="who decides: the name you are enrolled with")
    code: str = Field(pattern=r"^[0-9]{6}$", repr=False, description="the six digits that your authenticator shows now")


def key(plan_digest: str, attempt: int) -> str:
    """The suspension's key: bound to the plan, so an answer to another plan is never found under it."""
    return f"approval-{plan_digest[:16]}-{attempt}"


def source(run: str, attempt: int) -> str:
    """Which suspension brought an answer, as the store keeps it."""
    return f"{run}/{attempt}"


def ask(
    run: str, plan_digest: str, taken: Collection[str], identity: Identity, seconds_left: float, description: str
) -> Answer:
    """Suspend this run until the form is answered; the run is started anew then and comes back here.

    ``taken``: the sources of answers that are judged already. An answer that doesn't fit the form is asked for again.
    Raises Prefect's Pause (the suspension itself).
    """
    kind = IdentifiedForm if identity == "totp" else ApprovalForm
    form = kind.with_initial_data(description=description)
    timeout = max(int(seconds_left) + MARGIN_SECONDS, 1)
    for attempt in range(TRIES):
        if source(run, attempt) in taken:
            continue
        try:
            suspend_flow_run(wait_for_input=form, timeout=timeout, key=key(plan_digest, attempt))
            if answer := _received(run, plan_digest, attempt):
                return answer
        except ValidationError:
            continue  # an API client can send what the form would refuse
    raise RuntimeError(f"{TRIES} answers decided nothing; `reconcile` asks again")


def find_answer(runs: Sequence[str], plan_digest: str, taken: Collection[str]) -> Answer | None:
    """An answer that one of these runs received but did not live to record."""
    for run in runs:
        for attempt in range(TRIES):
            if source(run, attempt) in taken:
                continue
            with suppress(ValidationError):
                if answer := _received(run, plan_digest, attempt):
                    return answer
                break  # this run was never asked further
    return None


def forget(answer: Answer, plan_digest: str) -> None:
    """Delete what Prefect keeps of an answer that is in the store now: a code lies there no longer than it must."""
    run, _, attempt = answer.source.rpartition("/")
    try:
        with get_client(sync_client=True) as client:
            client.delete_flow_run_input(UUID(run), _place(plan_digest, int(attempt)))
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise


def form_of(run: FlowRun) -> dict[str, Any] | None:
    """The form (JSON schema) that a suspended run waits on; None when it was killed before saving it."""
    keyset = run.state.state_details.run_input_keyset if run.state else None
    found: Any = read_flow_run_input(keyset["schema"], run.id) if keyset else None
    return found if isinstance(found, dict) else None


def _received(run: str, plan_digest: str, attempt: int) -> Answer | None:
    """The answer that Prefect keeps of this suspension, if there is one. Errors: ValidationError (it doesn't fit)."""
    place = _place(plan_digest, attempt)
    with get_client(sync_client=True) as client:
        found = client.filter_flow_run_input(UUID(run), place, limit=1, exclude_keys=set())
    if not found or found[0].created is None:
        return None
    typed = found[0].decoded_value
    form = (IdentifiedForm if "code" in typed else ApprovalForm).model_validate(typed)
    return Answer(source=source(run, attempt), typed_at=found[0].created, **form.model_dump())


def _place(plan_digest: str, attempt: int) -> str:
    """Where Prefect keeps the answer."""
    return keyset_from_base_key(f"suspended-{key(plan_digest, attempt)}")["response"]


def describe(
    incident: Incident, sightings: Sequence[Sighting], rows: Sequence[Row], plan_digest: str, standing: Sequence[str]
) -> str:
    """What stands above the form. The dialog is narrow, and scrolls where the window is low: no tables.

    ``standing`` comes first: who has answered so far, and what keeps an answer from counting.
    """
    steps = "\n".join(f"1. {inline(r.title, 160)}: {_who(r)} ({r.state})" for r in rows)
    gravest = sorted(sightings, key=lambda s: -s.finding.severity.rank)
    seen = next((f"In the {e.field}: “{inline(e.excerpt, 160)}” " for s in gravest for e in s.finding.evidence), "")
    groups = " ".join(plan_digest[at : at + 16] for at in range(0, len(plan_digest), 16))
    return (
        f"**Incident {incident.id}: {inline(incident.title)}**\n\n"
        f"**{incident.severity}** · workflow {inline(incident.workflow)} · "
        f"{incident.actor_type} {inline(incident.actor)} · {incident.findings} findings\n\n"
        + "".join(f"{line}\n\n" for line in standing)
        + f"{steps}\n\n"
        f"Plan digest: {groups}\n\n"
        f"{seen}All evidence: artifact incident-{incident.id} of this run."
    )


def _who(row: Row) -> str:
    return {"auto": "automatic", "one": "**you decide**", "two": "**two people decide**"}[row.approval]
