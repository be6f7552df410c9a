"""One log line decoded by types: the fast half of ``parsing.py``, which stays the judge.

``CallReader.read`` gives a line's fields where it is sure that the exact parser gives a record with these very
values, and None for every line that it isn't sure of: malformed, blank, in GenAI names, with messages for a
prompt, with a name that has to be shortened. Those are for the exact parser.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

import msgspec

from firebreak.detectors.genai_names import ALIASES
from firebreak.detectors.parsing import FIELDS, LineParser
from firebreak.detectors.records import LONGEST_NAME

Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
NUMBERED = ("id", "flow_run_id", "user", "token_id", "model_version")  # names that may be written as integers
Amount = Annotated[float, msgspec.Meta(ge=0)]
_ROOM = 900  # bytes beside prompt and answer: fewer can't nest too deeply, nor hold a number too long to read
_NESTED = 200
_LONGEST_NUMBER = 4000
_NUMBER = re.compile(rb"[0-9]+")


class Span(msgspec.Struct, gc=False):
    """A part of the prompt, as ``records.Part``."""

    origin: Literal["system", "user", "document", "tool"]
    start: int
    end: int


class Call(msgspec.Struct, gc=False):
    """A line's fields under the record's names, as far as rules and statistics look at them before a match."""

    id: Name | None = None
    time: Any = None  # text in the line, a moment in UTC once it is read
    workflow: Name | None = None
    flow_run_id: Name | None = None
    user: Name | None = None
    token_id: Name | None = None
    model: Name | None = None
    model_version: Name | None = None
    prompt: str | None = None
    parts: list[Span] | None = None
    response: str | None = None
    latency_ms: float | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    error: str | None = None
    status: int | None = None
    endpoint: Name | None = None
    source_address: Name | None = None
    cost: Amount | None = None
    router_label: str | None = None
    router_confidence: float | None = None
    router_version: str | None = None
    feedback: str | None = None
    trusted: Literal[True] = True


def _line_type(numbered: bool) -> type[Call]:
    """``Call`` as lines spell it: a key from which an alias could be read has a type that no value is of."""
    steps = [alias.split(".") for aliases in ALIASES.values() for alias in aliases]
    keys = {".".join(path[:length]) for path in steps for length in range(1, len(path) + 1)} - set(FIELDS)
    never = {f"alias_{number}": key for number, key in enumerate(sorted(keys))}
    fields: list[Any] = [(name, Annotated[int, msgspec.Meta(gt=0, lt=1)], 0) for name in never]
    if numbered:
        fields += [(name, Name | int | None, None) for name in NUMBERED]
    made = msgspec.defstruct("Line", fields, bases=(Call,), rename={**never, "trusted": "\0trusted"}, gc=False)
    return cast(type[Call], made)


class CallReader:
    """Reads the lines of one source whose format is ``json``, without a field map."""

    def __init__(self, parser: LineParser) -> None:
        self._decode = msgspec.json.Decoder(_line_type(numbered=False)).decode
        self._decode_numbered = msgspec.json.Decoder(_line_type(numbered=True)).decode
        self._workflow = parser.workflow

    @staticmethod
    def reads(parser: LineParser) -> bool:
        """Whether the lines that this parser reads have a fast half at all."""
        return parser.format == "json" and not parser.mapped

    def read(self, line: bytes) -> Call | None:
        """The line's fields; None where only the exact parser can say."""
        call: Call | None
        try:
            call = self._decode(line)
        except msgspec.ValidationError:
            call = self._read_numbered(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return call if call is not None and self._holds(call, line) else None

    def _read_numbered(self, line: bytes) -> Call | None:
        try:
            call = self._decode_numbered(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        for name in NUMBERED:
            if type(value := getattr(call, name)) is int:
                setattr(call, name, str(value))
        return call

    def _holds(self, call: Call, line: bytes) -> bool:
        """Whether the exact parser agrees; what it adds and makes of the time is put in its place."""
        try:
            moment = datetime.fromisoformat(call.time)
            if moment.tzinfo is not UTC:
                if moment.tzinfo is None:
                    return False
                moment = moment.astimezone(UTC)
            if not line.isascii():
                line.decode()  # bytes that are no UTF-8 may stand where the decoder doesn't look
        except (TypeError, ValueError, OverflowError):
            return False
        call.time = moment
        prompt, response = call.prompt, call.response
        if prompt is None:
            call.prompt = prompt = ""
        room = len(line) - len(prompt)
        if response is not None:
            room -= len(response)
            if "\0" in response:
                return False  # the parser replaces it
        if "\0" in prompt or (room > _ROOM and _strains(line)):
            return False
        if call.parts:
            end = 0
            for part in call.parts:
                if not end <= part.start <= part.end:
                    return False
                end = part.end
            if end > len(prompt):
                return False
        if call.workflow is None:
            call.workflow = self._workflow
        return True


def _strains(line: bytes) -> bool:
    """Whether a JSON parser may refuse it for its nesting, or for a number's length, in a key that nobody reads."""
    if line.count(b"[") + line.count(b"{") > _NESTED:
        return True
    return len(line) > _LONGEST_NUMBER and any(
        found.end() - found.start() > _LONGEST_NUMBER for found in _NUMBER.finditer(line)
    )
