"""Which actor a finding lets Firebreak hold back at once, without asking anyone.

Automatic containment must not become the attacker's lever. It takes a trusted record and a finding
of severity high or critical; a user is never held for what a document or a tool brought in; a token
is held only while a single known user uses it, and a
user only for what the record says are the user's own words; stopping a workflow always waits for a person.
"""

from pydantic import BaseModel, ConfigDict

from firebreak.detectors.findings import ActorType, Finding, Severity
from firebreak.detectors.records import Origin


class Target(BaseModel):
    """An actor to hold back, within one workflow."""

    model_config = ConfigDict(frozen=True)

    actor_type: ActorType
    actor: str
    workflow: str


def narrowest(finding: Finding, users_of_token: int) -> Target | None:
    """The narrowest actor that may be quarantined automatically; None: act on nothing yet.

    ``users_of_token`` counts the different users the finding's token was seen with in the last 24 hours.
    """
    if not finding.trusted or finding.severity.rank < Severity.HIGH.rank or not finding.actor:
        return None
    if finding.origin not in (None, Origin.USER):
        return None
    if finding.actor_type in (ActorType.WORKFLOW, ActorType.DATASET):
        return None
    if finding.actor_type is ActorType.TOKEN and users_of_token != 1:
        return None
    if finding.actor_type is ActorType.USER and not finding.attributed:
        return None
    return Target(actor_type=finding.actor_type, actor=finding.actor, workflow=finding.workflow)
