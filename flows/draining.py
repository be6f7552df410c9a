"""Draining: one run takes all incidents that wait, gravest first, a few at a time, so that none holds up the rest."""

import contextvars
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from firebreak.blocks.store import Incident, Store
from firebreak.detectors.findings import Severity

LANES = 3  # incidents worked on at a time
RESERVED = 3  # further ones for critical incidents alone: a critical one waits for nobody
MANY = 5  # incidents that one run took: from then on it is a storm
LINGER = 5.0  # seconds that a run waits for more in a storm: a new run would need as long to start
EVERY = 0.2
TOLD_EVERY = 2.0


def drain(
    store: Store,
    topic: str,
    waiting: Callable[[], Sequence[Incident]],
    work: Callable[[Incident], bool],
    goes_on: Callable[[], bool] = lambda: False,
) -> int:
    """Work on what ``waiting`` returns, in its order, until there is nothing more; how many were taken.

    ``work`` runs in a thread and returns False where it must leave the incident as it is: it is not tried again by this
    run. ``goes_on``: more is on its way. While this lasts nobody is woken for ``topic``; what came in the last moment,
    before others are woken again, is still taken.
    """
    left: set[tuple[int, str, str, str | None]] = set()
    running: dict[Future[bool], Incident] = {}
    taken, told, idle_since = 0, float("-inf"), time.monotonic()
    with ThreadPoolExecutor(LANES + RESERVED, thread_name_prefix="lane") as pool:
        while True:
            if time.monotonic() - told > TOLD_EVERY:
                store.health.working(topic)
                told = time.monotonic()
            for done in [future for future in running if future.done()]:
                incident = running.pop(done)
                if not done.result():
                    left.add(_trouble(incident))
            busy = {incident.id for incident in running.values()}
            found = [one for one in waiting() if one.id not in busy and _trouble(one) not in left]
            if found and len(running) < LANES + RESERVED * (found[0].severity is Severity.CRITICAL):
                running[pool.submit(contextvars.copy_context().run, work, found[0])] = found[0]
                taken, idle_since = taken + 1, time.monotonic()
            elif found or running:
                wait(running, EVERY, FIRST_COMPLETED)
                idle_since = time.monotonic()
            elif goes_on() or (taken > MANY and time.monotonic() - idle_since < LINGER):
                time.sleep(EVERY)
            else:
                store.health.awake(topic)
                told = float("-inf")
                if all(_trouble(one) in left for one in waiting()):
                    return taken


def _trouble(incident: Incident) -> tuple[int, str, str, str | None]:
    """An incident as what it is now: grown graver, or with another cause, it is taken again."""
    return incident.id, incident.severity, incident.kind, incident.cause
