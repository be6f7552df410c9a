"""Facts: what a rule may know beside the record (issued canaries, the registry of tokens)."""

import re

from pydantic import BaseModel, ConfigDict

from firebreak.detectors.records import Record


class TokenGrant(BaseModel):
    """What one API token may be used for; an empty tuple means any."""

    model_config = ConfigDict(frozen=True)

    token_id: str
    models: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    revoked: bool = False


class Facts(BaseModel):
    """What is known when a record is judged."""

    model_config = ConfigDict(frozen=True)

    canaries: dict[str, tuple[str, ...]] = {}  # workflow -> canaries issued to its system prompt
    tokens: dict[str, TokenGrant] | None = None  # None: no registry kept, so token rules stay silent


def find_canary(record: Record, facts: Facts) -> tuple[int, int] | None:
    """The span in the response of a canary of the record's workflow, in any letter case."""
    if record.response is None:
        return None
    folded = None
    for canary in filter(None, facts.canaries.get(record.workflow, ())):
        folded = folded or record.response.casefold()
        if canary.casefold() in folded and (found := re.search(re.escape(canary), record.response, re.IGNORECASE)):
            return found.span()
    return None


def canary_in_response(record: Record, facts: Facts) -> bool | None:
    """Whether the answer holds a canary of the record's workflow; None without an answer."""
    return None if record.response is None else find_canary(record, facts) is not None


def token_known(record: Record, facts: Facts) -> bool | None:
    """Whether the registry holds the token; None without a registry or a token."""
    if facts.tokens is None or record.token_id is None:
        return None
    return record.token_id in facts.tokens


def token_revoked(record: Record, facts: Facts) -> bool | None:
    """Whether the token is revoked; None when it isn't in the registry."""
    grant = _grant(record, facts)
    return None if grant is None else grant.revoked


def token_may_use_model(record: Record, facts: Facts) -> bool | None:
    """Whether the token may use the record's model; None when either is unknown."""
    grant = _grant(record, facts)
    if grant is None or record.model is None:
        return None
    return not grant.models or record.model in grant.models


def token_may_use_workflow(record: Record, facts: Facts) -> bool | None:
    """Whether the token may be used by the record's workflow; None when the token is unknown."""
    grant = _grant(record, facts)
    if grant is None:
        return None
    return not grant.workflows or record.workflow in grant.workflows


def _grant(record: Record, facts: Facts) -> TokenGrant | None:
    if facts.tokens is None or record.token_id is None:
        return None
    return facts.tokens.get(record.token_id)
