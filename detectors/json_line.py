"""One JSON line as the fields of a record: looked up under their names, and held to their types."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from pydantic import ValidationError

from firebreak.detectors.genai_names import decode, prompt_texts, response_text
from firebreak.detectors.records import Origin, Part, join_parts

_IDENTIFIERS = ("id", "flow_run_id", "user", "token_id", "model_version")
_MISSING = object()


class MalformedLine(ValueError):
    """A line that is no record. ``reason`` says why, without repeating what the line holds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_json(text: str, paths: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The record's fields in a JSON object; ``paths`` names the places of each, the first that holds it wins.

    Raises:
        MalformedLine: not a JSON object, or a field of the wrong type.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if not isinstance(value, dict):
            raise MalformedLine(f"a JSON {type(value).__name__}, not an object")
        return _typed({name: _first(value, places) for name, places in paths.items()})
    except RecursionError:
        raise MalformedLine("JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        raise MalformedLine(f"not JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise (error if isinstance(error, MalformedLine) else MalformedLine("a number too long to read")) from None


def _refuse_constant(name: str) -> Any:
    raise MalformedLine(f"{name} is not JSON")


def _first(value: dict[str, Any], places: tuple[str, ...]) -> Any:
    objects = []
    for path in places:
        found = _dig(value, path)
        if isinstance(found, dict):  # no field is an object, but `user` may hold `user.id`
            objects.append(found)
        elif found is not _MISSING:  # only here may a string hold messages: a prompt's own text is never unpacked
            return decode(found) if path.endswith(".messages") else found
    return next(iter(objects), None)


def _dig(value: dict[str, Any], path: str) -> Any:
    """What lies at a dotted path, keys that hold dots themselves included; null counts as absent."""
    found = value.get(path)
    if found is not None:
        return found
    head, dot, tail = path.partition(".")
    while dot:
        inner = value.get(head)
        if isinstance(inner, dict) and (found := _dig(inner, tail)) is not _MISSING:
            return found
        step, dot, tail = tail.partition(".")
        head = f"{head}.{step}"
    return _MISSING


def _typed(found: dict[str, Any]) -> dict[str, Any]:
    """JSON's values as the types the record wants, strictly: nothing is guessed from a wrong type."""
    fields = {name: _clean(name, value) for name, value in found.items() if value is not None}
    fields["time"] = _time(fields.get("time"))
    if isinstance(prompt := fields.get("prompt"), list):
        fields["prompt"], fields["parts"] = join_parts(_messages(prompt_texts, prompt, "prompt"))
    elif "parts" in fields:
        fields["parts"] = _parts(fields["parts"], fields.get("prompt", ""))
    if isinstance(response := fields.get("response"), list):
        fields["response"] = _messages(response_text, response, "response")
    return {name: storable(value) if isinstance(value, str) else value for name, value in fields.items()}


def _clean(name: str, value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        raise MalformedLine(f"`{name}`: not a finite number")
    if name in _IDENTIFIERS and type(value) is int:
        return str(value)  # many teams number their users
    return value


def storable(value: str) -> str:
    """Without what UTF-8 (lone surrogates) or a database (NUL) can't hold; the length stays."""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _messages(read: Callable[[list[Any]], Any], messages: list[Any], name: str) -> Any:
    try:
        return read(messages)
    except ValueError as error:
        raise MalformedLine(f"`{name}`: {error}") from None


def _time(value: Any) -> datetime:
    if value is None:
        raise MalformedLine("`time`: missing")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise MalformedLine("`time`: has no offset; write it as 2026-01-31T12:00:00Z")
        return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, MalformedLine):
            raise
        raise MalformedLine("`time`: not an RFC 3339 time as 2026-01-31T12:00:00Z") from None


def _parts(value: Any, prompt: Any) -> tuple[Part, ...]:
    """The spans, in order, inside the prompt, apart: a wrong span would blame the wrong actor."""
    if not isinstance(value, list) or not isinstance(prompt, str):
        raise MalformedLine("`parts`: not a list of {origin, start, end} beside a text prompt")
    parts: list[Part] = []
    for number, item in enumerate(value):
        try:
            part = Part.model_validate_json(json.dumps(item), strict=True)
        except (ValidationError, ValueError):
            origins = ", ".join(Origin)
            raise MalformedLine(f"`parts.{number}`: not {{origin: {origins}; start, end: integers}}") from None
        if not (parts[-1].end if parts else 0) <= part.start <= part.end <= len(prompt):
            raise MalformedLine(f"`parts.{number}`: overlaps, runs backwards or leaves the prompt of {len(prompt)}")
        parts.append(part)
    return tuple(parts)
