"""A record as rules see it: the fields a rule may name, and where each match lies in the prompt."""

from collections.abc import Callable, Mapping
from typing import Literal

from firebreak.detectors import facts as known
from firebreak.detectors.facts import Facts
from firebreak.detectors.records import Origin, Record

FieldType = Literal["text", "number", "flag"]
Value = str | float | bool | None

# The prompt split by who wrote it; `prompt` is all of it.
ORIGIN_FIELDS = {f"prompt.{o}": o for o in (Origin.USER, Origin.DOCUMENT, Origin.TOOL)}

# A fact and the record's fields that show it: they become the evidence.
FACTS: Mapping[str, tuple[Callable[[Record, Facts], bool | None], tuple[str, ...]]] = {
    "canary_in_response": (known.canary_in_response, ("response",)),
    "token_known": (known.token_known, ("token_id",)),
    "token_revoked": (known.token_revoked, ("token_id",)),
    "token_may_use_model": (known.token_may_use_model, ("token_id", "model")),
    "token_may_use_workflow": (known.token_may_use_workflow, ("token_id", "workflow")),
}

_TEXTS = ("workflow", "flow_run_id", "user", "token_id", "model", "model_version", "prompt", "response")
FIELDS: Mapping[str, FieldType] = {
    **dict.fromkeys((*_TEXTS, *ORIGIN_FIELDS, "error", "router_label", "router_version", "feedback"), "text"),
    **dict.fromkeys(("latency_ms", "prompt_tokens", "response_tokens", "router_confidence"), "number"),
    **dict.fromkeys(("trusted", *FACTS), "flag"),
}


class View:
    """One record and the facts of the moment; texts are cleaned of what RE2 can't read, offsets kept."""

    def __init__(self, record: Record, facts: Facts) -> None:
        self.record = record
        self.facts = facts
        self.spans = _spans(record)

    def value(self, name: str) -> Value:
        """The value of a field a rule may name; None where the record has none."""
        if name in ORIGIN_FIELDS:
            return self.prompt_of(ORIGIN_FIELDS[name])
        if name in FACTS:
            return FACTS[name][0](self.record, self.facts)
        value: Value = getattr(self.record, name)
        return _readable(value) if isinstance(value, str) else value

    def prompt_of(self, origin: Origin) -> str | None:
        """The prompt's text from ``origin``, parts joined by newlines; None when it has no such part."""
        spans = self.spans.get(origin)
        if not spans:
            return None
        return "\n".join(_readable(self.record.prompt[start:end]) for start, end in spans)

    def in_prompt(self, origin: Origin, start: int, end: int) -> tuple[int, int]:
        """A span of ``prompt_of(origin)`` as a span of the whole prompt."""
        first = last = offset = 0
        for part_start, part_end in self.spans[origin]:
            length = part_end - part_start
            if offset <= start <= offset + length:
                first = part_start + start - offset
            if offset <= end <= offset + length:
                last = part_start + end - offset
                break
            offset += length + 1  # the newline that joins
        return first, max(first, last)

    def origin_at(self, start: int, end: int) -> Origin:
        """Who wrote ``prompt[start:end]``: the user only when nobody else wrote any of it."""
        for origin in (Origin.DOCUMENT, Origin.TOOL):
            if any(s < end and start < e for s, e in self.spans.get(origin, [])):
                return origin
        return Origin.USER

    def others(self) -> list[Origin]:
        """The origins besides the user that wrote anything into the prompt."""
        return [o for o in (Origin.DOCUMENT, Origin.TOOL) if (self.prompt_of(o) or "").strip()]


def _spans(record: Record) -> dict[Origin, list[tuple[int, int]]]:
    """The spans of each origin; what no part claims is the user's, as in a record without parts."""
    length = len(record.prompt)
    if not record.parts:
        return {Origin.USER: [(0, length)]}
    spans: dict[Origin, list[tuple[int, int]]] = {}
    claimed = 0
    for part in sorted(record.parts, key=lambda p: p.start):
        start, end = min(part.start, length), min(part.end, length)
        if record.prompt[claimed:start].strip():
            spans.setdefault(Origin.USER, []).append((claimed, start))
        if start < end:
            spans.setdefault(part.origin, []).append((start, end))
        claimed = max(claimed, end)
    if record.prompt[claimed:].strip():
        spans.setdefault(Origin.USER, []).append((claimed, length))
    return spans


def _readable(text: str) -> str:
    """Lone surrogates, which UTF-8 (and so RE2) can't hold, become '?', one for one."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
