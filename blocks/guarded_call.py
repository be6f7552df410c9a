"""One guarded model call: held back or let go before, inspected around, logged in any case."""

import time
from collections import Counter
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from firebreak.blocks.interaction_log import InteractionLog, LogError
from firebreak.blocks.refusals import AnswerWithheld, GuardRefusal, PromptRefused, StoreAway, found, held
from firebreak.blocks.store import Batch
from firebreak.blocks.store_memory import StoreMemory, log
from firebreak.detectors.allowlist import keep_back
from firebreak.detectors.findings import Finding, Severity
from firebreak.detectors.json_line import storable
from firebreak.detectors.proof import load_proven
from firebreak.detectors.records import Record
from firebreak.detectors.rules import RuleSet
from firebreak.detectors.second_opinion import Ask, corroborate

ERROR_LENGTH = 500

rules_beside = lru_cache(maxsize=8)(load_proven)  # read and proven once a process


class GuardedCall:
    """Use as a context manager around the model call; see ``Guard.call``."""

    def __init__(
        self, memory: StoreMemory, log: InteractionLog, rules: RuleSet | None, refuse_at: Severity, open: bool,
        record: Record, ask: Ask | None = None,
    ) -> None:  # fmt: skip
        self._memory, self._log, self._rules, self._ask = memory, log, rules, ask
        self._refuse_at, self._open = refuse_at, open
        self.record = record
        self._reported: set[str] = set()
        self._refusal: GuardRefusal | None = None
        self._began = 0.0

    @property
    def prompt(self) -> str:
        """The text to send: all parts, in order."""
        return self.record.prompt

    def __enter__(self) -> Self:
        """Errors: WorkflowStopped, ActorQuarantined, StoreAway, PromptRefused (all GuardRefusal)."""
        if refusal := self._against():
            self._refuse(refusal)
        try:
            self._inspect(PromptRefused)
        except PromptRefused as refusal:
            self._write(refusal)
            raise
        self._memory.look_around()
        self._began = time.perf_counter()
        return self

    def answered(
        self, text: str, *, model: str | None = None, prompt_tokens: int | None = None,
        response_tokens: int | None = None, status: int | None = None, cost: float | None = None,
    ) -> None:  # fmt: skip
        """Say what the model answered, before anything is done with it.

        ``cost`` is what the call cost, in your currency. Errors: AnswerWithheld; ValueError for a cost that is none.
        """
        if cost is not None and not 0 <= cost < float("inf"):
            raise ValueError(f"cost={cost}: a call costs nothing or more")
        self._add(
            response=storable(text),
            latency_ms=self._elapsed(),
            model=self.record.model or model,
            model_version=model or self.record.model_version,
            prompt_tokens=prompt_tokens,
            response_tokens=response_tokens,
            status=status,
            cost=cost,
        )
        try:
            self._inspect(AnswerWithheld)
        except AnswerWithheld as refusal:
            self._refusal = refusal
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log the call. Errors: LogUnwritable, unless another error is on its way."""
        if self.record.latency_ms is None:
            self._add(latency_ms=self._elapsed())
        self._write(self._refusal or error, quiet=error is not None)

    def _against(self) -> GuardRefusal | None:
        workflow = self.record.workflow
        holds = self._memory.standing(workflow, self.record.user, self.record.token_id)
        if holds:
            return held(holds)
        if holds is None and not self._open:
            self._memory.say_once(f"guard: the incident store is away for too long: calls of {workflow!r} are refused")
            return StoreAway(
                f"the incident store is away, so nobody knows what stands against workflow {workflow!r}: nothing was "
                "sent. Bring the store back, or set when_store_away to open on the guard's block."
            )
        if holds is None:
            self._memory.say_once(
                f"guard: the incident store is away for too long: calls of {workflow!r} go on unasked"
            )
        return None

    def _refuse(self, refusal: GuardRefusal) -> None:
        """The log shows the attempt, but not what was attempted: a refused call yields no finding in a later scan."""
        self._add(prompt="", parts=(), token_id=None)
        self._write(refusal)
        raise refusal

    def _inspect(self, refusing: type[PromptRefused] | type[AnswerWithheld]) -> None:
        """Report what the rules find in the call so far; raise at what is grave enough."""
        record, new, kept = self.record, list[Finding](), Counter[str]()
        if self._rules:
            facts = self._memory.facts()
            new = [f for f in self._rules.inspect(record, facts) if f.key not in self._reported]
            self._reported |= {finding.key for finding in new}
            new, kept = keep_back(new, facts.allow, record)
        if new and self._ask:
            new = corroborate(new, record, self._ask)
        over = self._rules.over_findings if self._rules else ()
        pairs = {(record.token_id, record.user)} if record.token_id and record.user else set()
        runs = {record.flow_run_id: record.workflow} if record.flow_run_id else {}
        report = self._memory.report(
            Batch(findings=new, token_users=pairs, allowed=kept, over_findings=over, runs_called=runs)
        )
        worst = max(new, key=lambda finding: finding.severity.rank, default=None)
        if worst is not None and worst.severity.rank >= self._refuse_at.rank:
            incidents = [hold.incident_id for hold in report.contained] + [number for number, _ in report.opened]
            raise found(refusing, worst, incidents[0] if incidents else None)

    def _write(self, error: BaseException | None, quiet: bool = True) -> None:
        if error is not None:
            said = f"refused: {error}" if isinstance(error, GuardRefusal) else f"{type(error).__name__}: {error}"
            self._add(error=storable(said[:ERROR_LENGTH]), status=_status(error) or self.record.status)
        try:
            self._log.append(self.record)
        except LogError as unwritable:
            if not quiet:
                raise
            log().error("guard: %s", unwritable)

    def _elapsed(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 3)

    def _add(self, **fields: Any) -> None:
        self.record = self.record.model_copy(update=fields)


def _status(error: BaseException) -> int | None:
    """The HTTP status in an error of a client: openai and ours name it themselves, httpx through the response."""
    for holder, name in ((error, "status_code"), (error, "status"), (getattr(error, "response", None), "status_code")):
        if isinstance(found := getattr(holder, name, None), int):
            return int(found)
    return None
