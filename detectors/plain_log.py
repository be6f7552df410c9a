"""The plain shape of a basic ``logging`` set-up: ``INFO:root:PROMPT: …``, ``INFO:root:RESPONSE: …``.

One line is one record, and no line is joined to another: a newline inside a prompt can forge any of
them, so every record from here is untrusted. A line carrying the ``[ANOMALY]`` marker is kept as the
record's ``error``. Any other line is ordinary chatter.
"""

import re
from datetime import UTC, datetime
from typing import Any

_TIME = r"(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)"
_LEVEL = r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)"
# `LEVEL:logger:` of basicConfig, or `time - logger - LEVEL - ` as tutorials write it, then the message.
_LINE = re.compile(
    rf"(?:\[?{_TIME}\]?[ :-]{{1,4}})?"
    rf"(?:{_LEVEL}[ ]*:[^:\s]{{0,200}}:[ ]?|(?:[\w.]{{1,200}}[ ]?[-:|][ ]?)?\[?{_LEVEL}\]?[ ]*[-:|]?[ ]?)?"
    r"(?P<message>.*)",
    re.DOTALL,
)
_CALL = re.compile(r"(?P<side>PROMPT|RESPONSE):[ ]?(?P<text>.*)", re.DOTALL)
_STARTS_LIKE_A_LOG = re.compile(rf"\[?{_TIME}|{_LEVEL}\b|(?:PROMPT|RESPONSE): ")
MARKER = "[ANOMALY]"


def looks_plain(line: str) -> bool:
    """Whether the line begins as a plain log's lines do."""
    return MARKER in line or _STARTS_LIKE_A_LOG.match(line) is not None


def read_plain(line: str) -> dict[str, Any] | None:
    """The record's fields a plain line gives (``time`` only where the line has one), or None for chatter."""
    found = _LINE.match(line)
    if found is None:
        return None
    fields: dict[str, Any] = {}
    if found["time"]:
        fields["time"] = _time(found["time"])
    call = _CALL.match(found["message"])
    if call:
        fields["prompt" if call["side"] == "PROMPT" else "response"] = call["text"]
    elif MARKER in found["message"]:
        fields["error"] = found["message"]
    else:
        return None
    return fields


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
