"""Eight responders on one store, in processes of their own: each action is applied once."""

from collections.abc import Iterator

import pytest

from tests.flows.drills.crowd import crowd
from tests.flows.drills.targets import Addresses, serving


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    with serving("counter") as addresses:
        yield addresses


def test_each_action_is_applied_once(store_url: str, addresses: Addresses) -> None:
    made = crowd(store_url, addresses, responders=8, actions=100)
    assert made.wrong == []
    assert (made.actions, sum(made.shares)) == (100, 20)
