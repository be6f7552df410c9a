"""For the tests of messages: a policy with two recipients, and what was handed to their channels."""

from typing import Any

from firebreak.blocks.action import ActionError
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.store import Batch, Store
from firebreak.blocks.store.ledger import Row, Step
from firebreak.detectors.findings import Severity
from firebreak.flows.executor import execute
from tests.stores import finding

NO_RUNS: Any = None
POLICY = """
version: 1
recipients:
  - {name: on-call, block: custom-webhook/on-call, severities: [critical], repeat_minutes: 10, repeat_most: 3}
  - {name: office, block: custom-webhook/office, hours: "Mon-Fri 08:00-16:00 UTC", critical_anytime: false}
playbooks: []
"""  # the tests' clock begins on a Friday at 12:00 UTC


class Post:
    """What was handed to the notification blocks: (channel, body). ``broken`` ones refuse."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self.dies = False

    def tell(self, channel: str, subject: str, body: str) -> None:
        if self.dies:
            raise KeyboardInterrupt
        if channel in self.broken:
            raise ActionError(f"{channel} is broken")
        self.sent.append((channel.removeprefix("custom-webhook/"), body))

    def taken(self) -> list[str]:
        """Who was told since the last look."""
        told, self.sent = [channel for channel, _ in self.sent], []
        return told


def opened(store: Store, severity: Severity = Severity.CRITICAL, record: str = "r1") -> int:
    store.registers.put_policy(POLICY)
    return store.report(Batch(findings=[finding(record, severity=severity)]), "guard").opened[0][0]


def notify(store: Store, number: int) -> Row:
    incident = store.incidents.get(number)
    step = NotifyTeam().plan(store, incident, {})
    assert isinstance(step, Step)
    with store.lease(f"incident:{number}", "test") as lease:
        assert lease
        execute(store, incident, store.ledger.enter(number, [step]), lambda _: NotifyTeam(), lease)
    return store.ledger.rows(number)[0]


def states(store: Store, number: int) -> list[tuple[str, int, str]]:
    return [(one.recipient, one.number, str(one.state)) for one in store.alerts.of_incident(number)]
