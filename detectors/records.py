"""The record: one logged model call.

Field names are Firebreak's own; ``parsing.py`` accepts OpenTelemetry GenAI names and a team's field map.
"""

import hashlib
from enum import StrEnum
from typing import Annotated
from uuid import uuid4

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


class Origin(StrEnum):
    """Where a part of a prompt came from."""

    SYSTEM = "system"
    USER = "user"
    DOCUMENT = "document"
    TOOL = "tool"


class Part(BaseModel):
    """A span of the prompt, in characters: ``prompt[start:end]`` came from ``origin``."""

    model_config = ConfigDict(frozen=True)

    origin: Origin
    start: int = Field(ge=0)
    end: int = Field(ge=0)


LONGEST_NAME = 200


def _short(name: str) -> str:
    """A name no database index chokes on; what is cut is kept apart by its digest."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 17]}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"


Name = Annotated[str, AfterValidator(_short)]


class Record(BaseModel):
    """One model call as the interaction log holds it (one JSON line)."""

    model_config = ConfigDict(frozen=True)

    id: Name = Field(default_factory=lambda: uuid4().hex, description="unique; repeats are the same call")
    time: AwareDatetime = Field(description="when the call began (RFC 3339, UTC)")
    workflow: Name = Field(description="name of the AI workflow, by default its flow's name")
    flow_run_id: Name | None = None
    user: Name | None = Field(default=None, description="who asked, as the workflow knows them")
    token_id: Name | None = Field(default=None, description="name of the API key used, never the key")
    model: Name | None = None
    model_version: Name | None = None
    prompt: str = Field(default="", description="all text sent, without the system prompt")
    parts: tuple[Part, ...] = Field(default=(), description="which span came from where; none: all from the user")
    response: str | None = None
    latency_ms: float | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    error: str | None = None
    status: int | None = Field(default=None, description="HTTP status of the model call, where it had one")
    endpoint: Name | None = Field(default=None, description="host the call went to, as api.example.com")
    source_address: Name | None = Field(default=None, description="IP address the call came from")
    cost: float | None = Field(default=None, ge=0, description="what the call cost, in the team's currency")
    router_label: str | None = None
    router_confidence: float | None = None
    router_version: str | None = None
    feedback: str | None = None
    trusted: bool = Field(
        default=True, exclude=True, description="False where anyone could have forged the line (plain text logs)"
    )

    def text_from(self, origin: Origin) -> str:
        """The prompt's text that came from ``origin``, parts joined by newlines ('' when there is none)."""
        if not self.parts:
            return self.prompt if origin is Origin.USER else ""
        return "\n".join(self.prompt[p.start : p.end] for p in self.parts if p.origin is origin)


def join_parts(texts: list[tuple[Origin, str]]) -> tuple[str, tuple[Part, ...]]:
    """Lay texts one after another (blank line between) and say which span came from where."""
    prompt, parts = "", []
    for origin, text in texts:
        if prompt:
            prompt += "\n\n"
        parts.append(Part(origin=origin, start=len(prompt), end=len(prompt) + len(text)))
        prompt += text
    return prompt, tuple(parts)
