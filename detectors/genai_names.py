"""OpenTelemetry GenAI names as aliases of the record's own, and its messages as prompt and parts.

Semantic conventions: https://opentelemetry.io/docs/specs/semconv/gen-ai/ (attributes in development,
so the deprecated spellings that instrumentations still write are read too).
"""

import json
from typing import Any

from firebreak.detectors.records import Origin

ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("gen_ai.response.id",),
    "time": ("timestamp", "start_time"),
    "user": ("enduser.id", "user.id"),
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "model_version": ("gen_ai.response.model",),
    "prompt": ("gen_ai.input.messages", "gen_ai.prompt"),
    "response": ("gen_ai.output.messages", "gen_ai.completion"),
    "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "response_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "error": ("error.type",),
    "status": ("http.response.status_code",),
    "endpoint": ("server.address",),
    "source_address": ("client.address",),
}

# A role nobody knows is read as a document: the rules see its text, and no user is blamed for it.
ORIGINS = {"user": Origin.USER, "tool": Origin.TOOL, "function": Origin.TOOL}
NOT_SENT_BY_OTHERS = {"system", "developer", "assistant", "model"}


def decode(value: Any) -> Any:
    """Messages written as a JSON string (spans hold no lists) become a list; other text stays text."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if isinstance(decoded, list) and decoded and all(isinstance(m, dict) and "role" in m for m in decoded):
            return decoded
    return value


def prompt_texts(messages: list[Any]) -> list[tuple[Origin, str]]:
    """The texts of a list of messages and where each came from, without system prompt and earlier answers.

    Raises:
        ValueError: a message isn't of the form {role, parts} or {role, content}.
    """
    texts: list[tuple[Origin, str]] = []
    for number, message in enumerate(messages):
        role = _role(message, number)
        spoken = ORIGINS.get(role, Origin.DOCUMENT)
        for from_tool, text in _texts(message, number):
            if from_tool:
                texts.append((Origin.TOOL, text))
            elif role not in NOT_SENT_BY_OTHERS:
                texts.append((spoken, text))
    return texts


def response_text(messages: list[Any]) -> str:
    """The texts of the answers, blank lines between. Raises ValueError as ``prompt_texts`` does."""
    texts: list[str] = []
    for number, message in enumerate(messages):
        _role(message, number)
        texts.extend(text for _, text in _texts(message, number))
    return "\n\n".join(texts)


def _role(message: Any, number: int) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str):
        raise ValueError(f"message {number} is not an object with a `role`")
    return role


def _texts(message: dict[str, Any], number: int) -> list[tuple[bool, str]]:
    """(is it a tool's answer, text) for each part that holds text."""
    parts = message.get("parts", message.get("content"))
    if parts is None:
        return []
    if isinstance(parts, str):
        return [(False, parts)]
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"message {number} has neither a text nor a list of parts")
    found: list[tuple[bool, str]] = []
    for part in parts:
        if part.get("type") == "tool_call_response":
            answer = part.get("response", part.get("result"))
            found.append((True, answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)))
        else:
            found.extend((False, part[key]) for key in ("content", "text") if isinstance(part.get(key), str))
    return found
