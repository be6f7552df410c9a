"""The policy's recipients: whom they are for, what is refused, and through Prefect's own blocks to a real receiver."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock

from firebreak.blocks.action import LeftOut
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.store import Store
from firebreak.deployments.system import System
from firebreak.detectors.findings import Severity
from firebreak.flows.acknowledge import acknowledge
from firebreak.flows.alert_gaps import alert
from firebreak.flows.policy import PolicyError, parse_policy
from tests.flows.alerting import NO_RUNS, notify, opened
from tests.stores import Clock
from tests.web_server import Asked, WebServer, web_server


def test_nobody_wants_to_hear_of_this_severity(store: Store) -> None:
    number = opened(store, Severity.HIGH)
    store.registers.put_policy("version: 1\nrecipients: [{name: a, block: b/c, severities: [critical]}]\nplaybooks: []")
    step = NotifyTeam().plan(store, store.incidents.get(number), {})
    assert isinstance(step, LeftOut)
    assert step.why == "the policy names no recipient for severity high"


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{name: a, block: b/c, hours: 'Mon-Fri 08:00-16:00'}", "is no time zone"),
        ("{name: a, block: slack}", "String should match pattern"),
        ("{name: a, block: b/c, often: true}", "unknown key; allowed here: name, block, severities"),
        ("{name: a, block: b/c}, {name: a, block: b/d}", "each name may stand there once"),
    ],
)
def test_recipients_that_can_not_be_used_are_refused_by_name(section: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        parse_policy(f"version: 1\nrecipients: [{section}]\nplaybooks: []", "policy")


@pytest.fixture
def webhook(prefect_server: System) -> Iterator[WebServer]:
    def answer(asked: Asked) -> tuple[int, Any]:
        return 200, {}

    with web_server(answer) as server:
        for name in ("on-call", "office"):
            block = CustomWebhookNotificationBlock(
                name=name, url=server.url, json_data={"to": name, "text": "{{body}}"}, headers=None, cookies=None
            )
            block.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]
        yield server


@pytest.mark.integration
def test_through_prefects_own_blocks_to_a_real_receiver_until_acknowledged(
    store: Store, clock: Clock, webhook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firebreak.flows.acknowledge.open_store", lambda: store)
    number = opened(store)
    notify(store, number)
    clock.forward(600)
    alert(store, NO_RUNS)
    assert [asked.body["to"] for asked in webhook.asked] == ["on-call", "office", "on-call"]
    assert acknowledge(number, "Ada") == f"incident {number}: Ada has it in hand; messages about it aren't repeated"
    clock.forward(600)
    assert alert(store, NO_RUNS) == []
    assert len(webhook.asked) == 3
    entries = [e for e in store.incidents.timeline(number) if e.entry in ("notified", "acknowledged")]
    assert [e.by for e in entries] == ["respond", "respond", "reconcile", "Ada (unidentified)"]
