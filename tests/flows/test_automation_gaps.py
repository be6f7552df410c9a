"""`reconcile` and the breaker: quarantines that detectors wrote trip it, and quiet ends the halt."""

import pytest
from prefect.client.orchestration import get_client

from firebreak.blocks.store import Batch, State, Store
from firebreak.deployments.system import System
from firebreak.flows.automation_gaps import watch_automation
from firebreak.flows.policy import read_policy
from firebreak.flows.runs import Runs
from tests.flows.test_policy import SHIPPED
from tests.stores import Clock, finding

pytestmark = pytest.mark.integration


def test_too_many_quarantines_halt_automation_once_until_it_is_quiet(
    prefect_server: System, store: Store, clock: Clock
) -> None:
    text, policy = read_policy(SHIPPED)
    store.registers.put_policy(text)
    limits = policy.limits
    with get_client(sync_client=True) as client:
        runs = Runs(client)
        for n in range(limits.breaker.actions):
            store.report(Batch(findings=[finding(f"r{n}", actor=f"a{n}")]), "scan-logs")
        assert watch_automation(store, runs) == []
        store.report(Batch(findings=[finding("more", actor="one more")]), "scan-logs")
        (told,) = watch_automation(store, runs)
        halt = store.automation.halted()
        assert halt
        assert told == f"incident {halt.id}: more than {limits.breaker.actions} automatic actions: automation is halted"
        assert watch_automation(store, runs) == []
        clock.forward(limits.breaker.quiet_minutes * 60 + 1)
        with store.lease(f"incident:{halt.id}", "a person at work on it"):
            assert watch_automation(store, runs) == []
        (told,) = watch_automation(store, runs)
        assert told.endswith("automation acts again")
        assert (store.automation.halted(), store.incidents.get(halt.id).state) == (None, State.RESOLVED)
