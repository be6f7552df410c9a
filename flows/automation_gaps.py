"""The breaker between two steps: detectors' quarantines may have tripped it, and quiet resets it."""

from uuid import uuid4

from firebreak.blocks.events import Event, send, signal_opened
from firebreak.blocks.store import State, Store
from firebreak.flows.policy import load_policy
from firebreak.flows.runs import Runs


def watch_automation(store: Store, runs: Runs) -> list[str]:
    """Halt automation that has acted too often, and end a halt after the policy's quiet time."""
    limits, done = load_policy(store).limits, list[str]()
    report = store.automation.look(limits)
    signal_opened(store, report)
    for incident_id, _ in report.opened:
        done.append(
            f"incident {incident_id}: more than {limits.breaker.actions} automatic actions: automation is halted"
        )
    if (halt := store.automation.halted()) is None:
        return done
    with store.lease(f"incident:{halt.id}", f"reconcile/{uuid4()}") as lease:
        if lease is not None and store.automation.reset_if_quiet(limits):
            send(Event.INCIDENT_RESOLVED, halt.id, verdict=State.RESOLVED.value)
            done.append(f"incident {halt.id}: quiet for {limits.breaker.quiet_minutes:g} min: automation acts again")
    return done
