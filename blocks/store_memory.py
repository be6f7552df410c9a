"""What one process knows of the incident store when it can't be asked, and what it still has to tell it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from firebreak.blocks.events import signal_opened
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.overdue import report_overdue
from firebreak.blocks.store import Batch, Hold, Report, Store, StoreUnavailable
from firebreak.detectors.facts import Facts
from firebreak.detectors.leaks.fingerprints import fingerprint

KEEP_SECONDS = 60.0  # how long the last known state is good for
ASK_AGAIN_SECONDS = 1.0  # an away store is not asked more often
WRITE_AGAIN_SECONDS = 5.0  # a write may have waited 5 s for its lock already
FACTS_SECONDS = 1.0  # tokens, canaries, thresholds and allow-list; what stands against a call is never this old
SNAPSHOT_SECONDS = 5.0
OVERDUE_SECONDS = 60.0
KEPT_REPORTS = 1000
KEPT_PAIRS = 10_000
KEPT_PROMPTS = 1000
CANARY_SECONDS = 60.0  # a canary that was renewed reaches a running process within this

T = TypeVar("T")
Key = tuple[str, str, str]


class StoreMemory:
    """The store as one process sees it. ``clock`` counts seconds and is replaceable for tests."""

    def __init__(self, connect: Callable[[], Store], clock: Callable[[], float] = time.monotonic) -> None:
        self._connect, self._clock = connect, clock
        self._store: Store | None = None
        self._away: str | None = None
        self._ask_at = self._write_at = self._snapshot_at = self._overdue_at = float("-inf")
        self._facts_at = float("-inf")
        self._known_at: float | None = None
        self._holds: dict[Key, Hold] = {}
        self._facts = Facts()
        self._canaries: dict[str, tuple[str, float]] = {}
        self._prompts: set[tuple[str, int]] = set()
        self._pending: deque[Batch] = deque(maxlen=KEPT_REPORTS)
        self._pairs: set[tuple[str, str]] = set()
        self._called: set[str] = set()
        self._said: set[str] = set()
        self._writing = threading.Lock()

    def standing(self, workflow: str, user: str | None, token_id: str | None) -> list[Hold] | None:
        """What stands against a call; None when that isn't known: the store is away for longer than 60 s."""
        keys: list[Key] = [("stop-workflow", workflow, workflow)]
        keys += [("quarantine-user", user, workflow)] if user is not None else []
        keys += [("quarantine-token", token_id, workflow)] if token_id is not None else []
        try:
            holds = self._ask(lambda store: store.standing(workflow, user, token_id))
        except StoreUnavailable:
            remembered = [self._holds[key] for key in keys if key in self._holds]
            fresh = self._known_at is not None and self._clock() - self._known_at <= KEEP_SECONDS
            return remembered if remembered or fresh else None
        self._known_at = self._clock()
        for key in keys:
            self._holds.pop(key, None)
        self._holds.update({(hold.kind, hold.target, hold.workflow): hold for hold in holds})
        return holds

    def look_around(self) -> None:
        """What need not be done before a refusal: all that stands, for bad times; reports kept back; silent flows."""
        now = self._clock()
        try:
            if now - self._snapshot_at > SNAPSHOT_SECONDS:
                holds = self._ask(lambda store: store.holds.all())
                self._holds = {(hold.kind, hold.target, hold.workflow): hold for hold in holds}
                self._snapshot_at = now
            if now - self._overdue_at >= OVERDUE_SECONDS:
                self._overdue_at = now
                overdue, report = self._ask(lambda store: report_overdue(store, "guard"))
                for flow in overdue:
                    log().warning(
                        "Firebreak's %s has missed three of its intervals (every %d s, last seen %s): "
                        "is a worker running?",
                        flow.name,
                        flow.interval_seconds,
                        flow.last_at,
                    )
                self._signal(report)
        except StoreUnavailable:
            return
        if self._pending:
            with self._writing:
                self._flush()

    def facts(self) -> Facts:
        """What rules may know, a second old at most; the last known where the store is away."""
        now = self._clock()
        if now - self._facts_at >= FACTS_SECONDS:
            with suppress(StoreUnavailable):
                self._facts = self._ask(lambda store: store.facts())
                self._facts_at = now
        return self._facts

    def canary(self, workflow: str) -> str:
        """The workflow's canary. Errors: StoreUnavailable (away, and never asked before)."""
        known, now = self._canaries.get(workflow), self._clock()
        if known is None or now - known[1] >= CANARY_SECONDS:
            try:
                found = self._ask(lambda store: store.canary(workflow))
            except StoreUnavailable:
                if known is None:
                    raise
                return known[0]
            self._canaries[workflow] = known = found, now
            self._facts_at = float("-inf")  # it may have been issued just now, and the next answer may hold it
        return known[0]

    def know_system_prompt(self, workflow: str, text: str) -> None:
        """Let answers be searched for it. While the store is away it is put off to the next call."""
        told = (workflow, hash(text))
        if told in self._prompts:
            return
        prompt = fingerprint(text)
        known = self.facts().system_prompts.get(workflow)
        if prompt is not None and not (known and known.covers(prompt)):
            try:
                self._ask(lambda store: store.registers.put_system_prompt(workflow, prompt))
            except StoreUnavailable:
                return
            self._facts_at = float("-inf")
        if len(self._prompts) >= KEPT_PROMPTS:
            self._prompts.clear()
        self._prompts.add(told)

    def report(self, batch: Batch) -> Report:
        """Write what was found; kept and written later when the store is away (an empty report then)."""
        fresh = batch.token_users - self._pairs
        called = batch.runs_called.keys() - self._called
        if not (batch.findings or batch.allowed or fresh or called):
            return Report()
        self._called = self._called | called if len(self._called) < KEPT_PAIRS else called
        self._pairs = self._pairs | fresh if len(self._pairs) < KEPT_PAIRS else fresh
        with self._writing:
            if len(self._pending) == KEPT_REPORTS:
                self.say_once(f"guard: more than {KEPT_REPORTS} reports wait for the incident store: the oldest go")
            self._pending.append(batch)
            return self._flush()

    def say_once(self, what: str) -> None:
        """One log line for as long as the store is away."""
        if what not in self._said:
            self._said.add(what)
            log().warning(what)

    def _flush(self) -> Report:
        """Write all that waits, oldest first; the last one's report."""
        report = Report()
        if self._clock() < self._write_at:
            return report
        try:
            while self._pending:
                report = self._send(self._pending.popleft())  # popped first: one the store chokes on fails once
                self._signal(report)
        except StoreUnavailable:
            self._write_at = self._clock() + WRITE_AGAIN_SECONDS
            return Report()
        return report

    def _send(self, batch: Batch) -> Report:
        try:
            return self._ask(lambda store: store.report(batch, "guard"))
        except StoreUnavailable:
            self._pending.appendleft(batch)
            raise

    def _signal(self, report: Report) -> None:
        """A signal that is lost costs seconds: ``reconcile`` finds the incident in the store."""
        if report.opened:
            self._ask(lambda store: signal_opened(store, report))

    def _ask(self, question: Callable[[Store], T]) -> T:
        now = self._clock()
        if self._away is not None and now < self._ask_at:
            raise StoreUnavailable(self._away)
        try:
            if self._store is None:
                self._store = self._connect()
            answer = question(self._store)
        except StoreUnavailable as error:
            if self._away is None:
                log().warning("guard: %s; the last known state holds for %d s", error, KEEP_SECONDS)
            self._away, self._ask_at = str(error), now + ASK_AGAIN_SECONDS
            raise
        if self._away is not None:
            log().warning("guard: the incident store is back")
            self._away = None
            self._said.clear()
        return answer


_memories: dict[str, StoreMemory] = {}


def memory_of(block: IncidentStore) -> StoreMemory:
    """This process's one memory of a store, however often its block is loaded."""
    return _memories.setdefault(block.url.get_secret_value(), StoreMemory(block.open))


def log() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    """The flow run's log, or a plain one outside flows."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("firebreak.guard")
