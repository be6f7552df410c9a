"""What record and registry together say of a token. None: nothing is known, so no rule has anything to say."""

from firebreak.detectors.facts import Facts, TokenGrant
from firebreak.detectors.hours import hours
from firebreak.detectors.origins import network, within
from firebreak.detectors.records import Record
from firebreak.detectors.usage.counts import microseconds
from firebreak.detectors.usage.history import MOST_ORIGINS, TokenUse

SETTLED_CALLS = 100  # a token's networks are known after so many calls
SETTLED_DAYS = 3  # over at least so many days
DORMANT_DAYS = 30.0  # of a token without a grant
_DAY = 24 * 3600 * 1_000_000


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


def token_may_use_version(record: Record, facts: Facts) -> bool | None:
    """Whether the token may use the version that answered; None when either is unknown."""
    grant = _grant(record, facts)
    if grant is None or record.model_version is None:
        return None
    return not grant.model_versions or record.model_version in grant.model_versions


def token_may_use_workflow(record: Record, facts: Facts) -> bool | None:
    """Whether the token may be used by the record's workflow; None when the token is unknown."""
    grant = _grant(record, facts)
    if grant is None:
        return None
    return not grant.workflows or record.workflow in grant.workflows


def token_may_use_endpoint(record: Record, facts: Facts) -> bool | None:
    """Whether the token may be sent to the host the call went to; None when either is unknown."""
    grant = _grant(record, facts)
    if grant is None or record.endpoint is None:
        return None
    return not grant.endpoints or record.endpoint.lower() in [each.lower() for each in grant.endpoints]


def token_in_hours(record: Record, facts: Facts) -> bool | None:
    """Whether the call began within the token's hours; None when it has none."""
    grant = _grant(record, facts)
    if grant is None or grant.hours is None:
        return None
    return hours(grant.hours).hold(record.time)


def token_origin_allowed(record: Record, facts: Facts) -> bool | None:
    """Whether the call came from where the token may be used; None when either is unknown, or the address is none."""
    grant = _grant(record, facts)
    if grant is None or not grant.origins or record.source_address is None:
        return None
    return within(record.source_address, grant.origins)


def token_origin_known(record: Record, facts: Facts) -> bool | None:
    """Whether the token was used from this network (/24, /48) before.

    None without an address, or where its use so far says little: it is new, hardly used, or used from anywhere.
    """
    if record.token_id is None or record.source_address is None:
        return None
    past, now = _uses(record, facts)
    if past is None or past.calls < SETTLED_CALLS or past.last_us - past.first_us < SETTLED_DAYS * _DAY:
        return None
    origin = network(record.source_address)
    if origin is None or not 0 < len(past.origins) < MOST_ORIGINS:
        return None
    return origin in past.origins or (now is not None and origin in now.origins)


def token_woke(record: Record, facts: Facts) -> bool | None:
    """Whether the token had been unused for its ``dormant_days``; None when it was never seen before."""
    if record.token_id is None:
        return None
    time = record.time  # read in any case: a scan may keep the verdicts that rest on names alone
    last = max((use.last_us for use in _uses(record, facts) if use is not None), default=None)
    if last is None:
        return None
    grant = _grant(record, facts)
    return microseconds(time) - last > (grant.dormant_days if grant else DORMANT_DAYS) * _DAY


def _grant(record: Record, facts: Facts) -> TokenGrant | None:
    if facts.tokens is None or record.token_id is None:
        return None
    return facts.tokens.get(record.token_id)


def _uses(record: Record, facts: Facts) -> tuple[TokenUse | None, TokenUse | None]:
    assert record.token_id is not None
    return facts.history.get(record.token_id), facts.used_now.get(record.token_id)
