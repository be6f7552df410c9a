"""Which actor a finding lets Firebreak hold back at once, without asking anyone.

Automatic containment must not become the attacker's lever. It takes a trusted record, trouble of severity high
or critical, and corroboration: a vote that is certain by itself, or two different ones about the same kind of
trouble and the same actor. A user is never held for what a document or a tool brought in, and only for what the
record says are the user's own words; a token is held only while a single known user uses it; stopping a workflow
always waits for a person.
"""

from collections.abc import Collection, Mapping

from pydantic import BaseModel, ConfigDict

from firebreak.detectors.findings import ActorType, Finding, Severity
from firebreak.detectors.records import Origin

CERTAIN = "certain"
VOTES_NEEDED = 2  # of patterns, score and model


class Target(BaseModel):
    """An actor to hold back, within one workflow."""

    model_config = ConfigDict(frozen=True)

    actor_type: ActorType
    actor: str
    workflow: str


def corroborated(votes: Collection[str]) -> bool:
    """Whether these are enough to act on; the same vote again adds nothing."""
    return CERTAIN in votes or len(set(votes)) >= VOTES_NEEDED


def counts(finding: Finding) -> bool:
    """Whether a finding's votes count against its actor: what anyone could have caused, or is only low, doesn't."""
    if not finding.trusted or finding.severity.rank < Severity.MEDIUM.rank or not finding.actor:
        return False
    if finding.origin not in (None, Origin.USER):
        return False
    return finding.actor_type is ActorType.TOKEN or (finding.actor_type is ActorType.USER and finding.attributed)


def narrowest(finding: Finding, users_of_token: int, votes: Mapping[str, Severity]) -> Target | None:
    """The narrowest actor that may be quarantined automatically; None: act on nothing yet.

    ``users_of_token`` counts the different users the finding's token was seen with in the last 24 hours.
    ``votes`` are those that count for the same kind of trouble and the same actor in the finding's incident, its
    own among them, each with the gravest severity it was given for.
    """
    if not counts(finding) or not corroborated(votes):
        return None
    if max(severity.rank for severity in votes.values()) < Severity.HIGH.rank:
        return None
    if finding.actor_type is ActorType.TOKEN and users_of_token != 1:
        return None
    return Target(actor_type=finding.actor_type, actor=finding.actor, workflow=finding.workflow)
