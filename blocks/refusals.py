"""Why the guard says no.

GuardRefusal
├── WorkflowStopped     the workflow's stop switch is on: no call of it is made
├── ActorQuarantined    this user or token is in quarantine; others go on
├── PromptRefused       the prompt itself is an attack: it was not sent
├── AnswerWithheld      the answer gives away what it must not: it is not handed over
└── StoreAway           the incident store can't be asked, and the guard is set to refuse then

A refusal is a decision, not a fault: trying again gives the same answer until somebody lifts the hold.
"""

from firebreak.blocks.store import Hold
from firebreak.detectors.findings import Finding


class GuardRefusal(Exception):
    """Base of the guard's refusals. ``incident_id`` is the incident behind it, where one is known."""

    def __init__(self, message: str, incident_id: int | None = None) -> None:
        super().__init__(message)
        self.incident_id = incident_id


class WorkflowStopped(GuardRefusal):
    """Nothing of this workflow runs until the incident is released."""


class ActorQuarantined(GuardRefusal):
    """This user or token is held off until the incident is released."""


class PromptRefused(GuardRefusal):
    """The prompt was recognised as an attack and not sent."""


class AnswerWithheld(GuardRefusal):
    """The answer was recognised as a leak and not handed over."""


class StoreAway(GuardRefusal):
    """The store has not been reachable for too long to know what stands."""


def held(holds: list[Hold]) -> GuardRefusal:
    """The refusal for what stands, the widest first."""
    hold = next((hold for hold in holds if hold.kind == "stop-workflow"), holds[0])
    since = f"since {hold.since:%Y-%m-%d %H:%M:%S} UTC by incident {hold.incident_id} ({hold.reason})"
    todo = (
        f"Read incident {hold.incident_id} in the Prefect UI; when it is dealt with, "
        f"run the deployment release/firebreak for it."
    )
    if hold.kind == "stop-workflow":
        return WorkflowStopped(
            f"workflow {hold.workflow!r} is stopped {since}: nothing was sent. {todo}", hold.incident_id
        )
    actor = hold.kind.removeprefix("quarantine-")
    return ActorQuarantined(
        f"{actor} {hold.target!r} is quarantined in workflow {hold.workflow!r} {since}: nothing was sent. {todo}",
        hold.incident_id,
    )


def found(kind: type[PromptRefused] | type[AnswerWithheld], finding: Finding, incident_id: int | None) -> GuardRefusal:
    """The refusal for a finding grave enough to act on at once."""
    done = "the prompt was not sent" if kind is PromptRefused else "the answer is withheld"
    where = f"incident {incident_id}" if incident_id is not None else f"the open incidents of {finding.workflow!r}"
    return kind(
        f"{finding.title} (rule {finding.rule}, {finding.severity}): {done}. Read {where} in the Prefect UI.",
        incident_id,
    )
