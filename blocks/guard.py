"""Block: the guard, a few lines around a model call of any workflow.

    guard = Guard.load("firebreak")
    with guard.call(user="ada", token_id="support-key", model=endpoint.model, prompt=text) as call:
        answer = endpoint.complete(system, call.prompt)
        call.answered(answer.text, model=answer.model)

Before the call it asks the store what stands against the workflow, the user and the token; around it, it runs
the rules and writes what they find; in any case the call becomes a line of the interaction log.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from prefect.blocks.core import Block
from prefect.runtime import flow_run
from pydantic import Field, PrivateAttr

from firebreak.blocks.guard_model import GuardModel
from firebreak.blocks.guarded_call import GuardedCall, rules_beside
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.refusals import (
    ActorQuarantined,
    AnswerWithheld,
    GuardRefusal,
    PromptRefused,
    StoreAway,
    WorkflowStopped,
)
from firebreak.blocks.second_opinion import second_opinion
from firebreak.blocks.store.database import utc_now
from firebreak.blocks.store_memory import StoreMemory, memory_of
from firebreak.detectors.findings import Severity
from firebreak.detectors.json_line import storable
from firebreak.detectors.records import Origin, Record, join_parts


class Guard(Block):
    """Refuses what is stopped or quarantined, inspects prompts and answers, and logs every call."""

    _block_type_name = "Guard"
    _block_type_slug = "guard"
    _description = "Firebreak's guard around the model calls of a workflow."

    store: IncidentStore = Field(description="the incident store that says what stands")
    log: InteractionLog = Field(description="the interaction log that every call is written to")
    when_store_away: Literal["open", "closed"] = Field(
        default="closed",
        description="what happens to calls 60 s after the store was last reached; what was stopped stays stopped",
    )
    refuse_at: Severity = Field(
        default=Severity.CRITICAL,
        description="from this severity on the prompt is refused or the answer withheld; below, the call goes on",
    )
    inspect: bool = Field(default=True, description="run the rules on prompt and answer, in the workflow's process")
    second_opinion: GuardModel | None = Field(
        default=None,
        description="a guard model, asked about prompts that the rules found something in, but too little to act on",
    )

    _memory: StoreMemory | None = PrivateAttr(default=None)
    _now: Callable[[], datetime] | None = PrivateAttr(default=None)

    def call(
        self,
        *,
        prompt: str | None = None,
        parts: list[tuple[Origin, str]] | None = None,
        system: str | None = None,
        user: str | None = None,
        token_id: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        source_address: str | None = None,
        workflow: str | None = None,
        flow_run_id: str | None = None,
        router_label: str | None = None,
        router_confidence: float | None = None,
        router_version: str | None = None,
        feedback: str | None = None,
    ) -> GuardedCall:
        """A call with either ``prompt`` (all from the user) or ``parts`` (which text came from where).

        ``system`` is the system prompt: an answer that repeats it is found. Only fingerprints of it are kept.
        ``token_id`` is the key's name, never the key; ``endpoint`` the host the call goes to; ``source_address`` the IP
        address it comes from, where the workflow knows it. ``workflow`` and ``flow_run_id`` default to the flow that
        runs. Errors, on entering: GuardRefusal; ValueError for neither or both, or outside a flow without a name.
        """
        if (prompt is None) == (parts is None):
            raise ValueError("guard.call needs either prompt= or parts=")
        given = parts or [] if prompt is None else [(Origin.USER, prompt)]
        text, spans = join_parts([(origin, storable(part)) for origin, part in given])
        record = Record(
            time=(self._now or utc_now)(),
            workflow=workflow or _running_flow(),
            flow_run_id=flow_run_id or flow_run.id,
            user=user and storable(user),
            token_id=token_id and storable(token_id),
            model=model and storable(model),
            endpoint=endpoint and storable(endpoint),
            source_address=source_address and storable(source_address),
            prompt=text,
            parts=spans,
            router_label=router_label,
            router_confidence=router_confidence,
            router_version=router_version,
            feedback=feedback,
        )
        rules = rules_beside(own=self.log.rules) if self.inspect else None
        if system:
            self._known().know_system_prompt(record.workflow, system)
        return GuardedCall(
            self._known(), self.log, rules, self.refuse_at, self.when_store_away == "open", record,
            second_opinion(self.second_opinion),
        )  # fmt: skip

    def canary(self, workflow: str | None = None) -> str:
        """The word to put into the workflow's system prompt: an answer that holds it has leaked the prompt.

        Errors: StoreUnavailable; ValueError outside a flow without a name.
        """
        return self._known().canary(workflow or _running_flow())

    def remembering(self, memory: StoreMemory, now: Callable[[], datetime] | None = None) -> "Guard":
        """This guard with a memory of its own instead of the process's, and other clocks."""
        self._memory, self._now = memory, now or self._now
        return self

    def _known(self) -> StoreMemory:
        return self._memory or memory_of(self.store)


def _running_flow() -> str:
    name: str | None = flow_run.flow_name
    if name is None:
        raise ValueError("no flow is running here, so the guard can't tell the workflow: pass workflow='its-name'")
    return name


__all__ = [
    "ActorQuarantined",
    "AnswerWithheld",
    "Guard",
    "GuardRefusal",
    "GuardedCall",
    "Origin",
    "PromptRefused",
    "Severity",
    "StoreAway",
    "WorkflowStopped",
]
