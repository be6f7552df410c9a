"""What registry and history say of a token, beyond the rules' own cases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from firebreak.detectors.facts import Facts, TokenGrant
from firebreak.detectors.origins import network
from firebreak.detectors.records import Record
from firebreak.detectors.tokens import (
    SETTLED_CALLS,
    token_may_use_endpoint,
    token_origin_allowed,
    token_origin_known,
    token_woke,
)
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.counts import microseconds
from firebreak.detectors.usage.history import MOST_ORIGINS, TokenUse, absorb

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = 86_400_000_000


def record(**fields: Any) -> Record:
    return Record(**{"time": NOW, "workflow": "w", "token_id": "key", **fields})


def used(days_ago: float = 0.5, calls: int = SETTLED_CALLS, *origins: str) -> dict[str, TokenUse]:
    last = microseconds(NOW - timedelta(days=days_ago))
    return {"key": TokenUse(last - 10 * DAY, last, calls, dict.fromkeys(origins, last))}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        (" 192.0.2.77 ", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:7:1::9", "2001:db8:7::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("gateway", None),
        ("192.0.2.77:443", None),
        ("", None),
    ],
)
def test_an_address_belongs_to_a_network(address: str, expected: str | None) -> None:
    assert network(address) == expected


@given(st.text(max_size=50))
def test_no_address_raises(text: str) -> None:
    network(text)
    facts = Facts(tokens={"key": TokenGrant(token_id="key", origins=("192.0.2.0/24",))}, history=used())
    token_origin_allowed(record(source_address=text), facts)
    token_origin_known(record(source_address=text), facts)


@pytest.mark.parametrize(
    ("grant", "says"),
    [
        ({"hours": "always"}, "hours 'always'"),
        ({"origins": ["192.0.2.77/24"]}, "host bits set; write networks as 203.0.113.0/24"),
        ({"origins": ["office"]}, "write networks as"),
        ({"dormant_days": 0}, "greater than 0"),
        ({"hour": "Mon 00:00-24:00 UTC"}, "Extra inputs"),
    ],
)
def test_a_grant_that_says_nothing_sensible_is_refused(grant: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match="validation error") as refused:
        TokenGrant(token_id="key", **grant)
    assert says in str(refused.value)


def test_endpoints_are_whole_hosts() -> None:
    facts = Facts(tokens={"key": TokenGrant(token_id="key", endpoints=("api.example.com",))})
    assert token_may_use_endpoint(record(endpoint="API.example.com"), facts) is True
    assert token_may_use_endpoint(record(endpoint="api.example.com.evil.example"), facts) is False


def test_a_network_is_new_once_in_a_pass() -> None:
    counter = UsageCounter()
    facts = Facts(history=used(0.5, 500, "192.0.2.0/24")).model_copy(update={"used_now": counter.uses})
    strange = record(source_address="198.51.100.9")
    assert token_origin_known(strange, facts) is False
    counter.add_record(strange)
    assert token_origin_known(strange, facts) is True


def test_a_token_used_from_anywhere_has_no_new_network() -> None:
    roaming = used(0.5, 500, *[f"10.0.{number}.0/24" for number in range(MOST_ORIGINS)])
    assert token_origin_known(record(source_address="198.51.100.9"), Facts(history=roaming)) is None


def test_a_token_wakes_once_in_a_pass() -> None:
    counter = UsageCounter()
    facts = Facts(history=used(31)).model_copy(update={"used_now": counter.uses})
    assert token_woke(record(), facts) is True
    counter.add_record(record())
    assert token_woke(record(time=NOW + timedelta(minutes=1)), facts) is False


def test_a_scan_that_was_down_for_long_does_not_take_its_own_sleep_for_the_tokens() -> None:
    counter = UsageCounter()
    facts = Facts(history=used(60)).model_copy(update={"used_now": counter.uses})
    woke = 0
    for hours_ago in range(60 * 24 - 1, 0, -1):
        call = record(time=NOW - timedelta(hours=hours_ago))
        woke += token_woke(call, facts) is True
        counter.add_record(call)
    assert woke == 0


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 300)), min_size=1, max_size=100), st.randoms())
def test_history_adds_up_in_any_order(calls: list[tuple[int, int]], shuffled: Any) -> None:
    def history() -> dict[str, TokenUse]:
        found: dict[str, TokenUse] = {}
        for at, block in calls:
            counter = UsageCounter()
            counter.add(at, "w", "key", source_address=f"10.{block}.0.1" if block < 256 else None)
            absorb(found, counter.uses)
        return found

    before = history()["key"]
    shuffled.shuffle(calls)
    after = history()["key"]
    assert (before.first_us, before.last_us, before.calls) == (after.first_us, after.last_us, after.calls)
    assert len(after.origins) <= MOST_ORIGINS
