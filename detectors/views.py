"""A record as rules see it: the fields a rule may name, the readings of its texts, and where each match lies."""

from dataclasses import dataclass

from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import DERIVED, ORIGIN_FIELDS, Value
from firebreak.detectors.records import Origin, Record
from firebreak.detectors.text.views import TextView, text_views

PROMPT = ("prompt", *ORIGIN_FIELDS)


@dataclass(frozen=True)
class Reading:
    """One view of a text of the record, for rules on ``fields``; ``origin`` says who wrote it, where one did."""

    fields: tuple[str, ...]
    view: TextView
    origin: Origin | None = None

    @property
    def plain(self) -> bool:
        return self.view.name == "plain"


class View:
    """One record and the facts of the moment; texts are cleaned of what RE2 can't read, offsets kept."""

    def __init__(self, record: Record, facts: Facts) -> None:
        self.record = record
        self.facts = facts
        self.spans = _spans(record)
        self._values: dict[str, Value] = {}
        self._readings: dict[str, tuple[Reading, ...]] = {}
        self._secrets: dict[str, list[tuple[int, int]]] = {}

    def value(self, name: str) -> Value:
        """The value of a field a rule may name; None where the record has none."""
        if name not in self._values:
            self._values[name] = self._value(name)
        return self._values[name]

    def _value(self, name: str) -> Value:
        if name in ORIGIN_FIELDS:
            return self.prompt_of(ORIGIN_FIELDS[name])
        if name in DERIVED:
            return DERIVED[name].value(self)
        value: Value = getattr(self.record, name)
        return _readable(value) if isinstance(value, str) else value

    def readings(self, name: str) -> tuple[Reading, ...]:
        """Every reading of a text field, plain ones first; of the prompt's fields together under ``prompt``."""
        if name not in self._readings:
            self._readings[name] = self._prompt_readings() if name == "prompt" else self._field_readings(name)
        return self._readings[name]

    def _field_readings(self, name: str) -> tuple[Reading, ...]:
        value = self.value(name)
        if not isinstance(value, str):
            return ()
        views = text_views(value) if name == "response" else (TextView("plain", value),)
        return tuple(Reading((name,), view) for view in views)

    def _prompt_readings(self) -> tuple[Reading, ...]:
        """The whole prompt, and what each origin wrote: what is hidden in one origin's text is in the whole as well."""
        if not self.record.parts:
            both = ("prompt", f"prompt.{Origin.USER}")
            return tuple(Reading(both, view, Origin.USER) for view in text_views(self.record.prompt))
        found = [Reading(("prompt",), TextView("plain", _readable(self.record.prompt)))]
        hidden = []
        for field, origin in ORIGIN_FIELDS.items():
            if isinstance(text := self.value(field), str):
                plain, *others = text_views(text)
                found.append(Reading((field,), plain, origin))
                hidden += [Reading(("prompt", field), view, origin) for view in others]
        return (*found, *hidden)

    def place(self, reading: Reading, start: int, end: int) -> tuple[str, int, int]:
        """The record's field, and the span in it, behind a span of a reading's text."""
        start, end = reading.view.original(start, end)
        if reading.fields[0] not in PROMPT:
            return reading.fields[0], start, end
        if reading.origin and self.record.parts:
            start, end = self.in_prompt(reading.origin, start, end)
        return "prompt", start, end

    def secrets(self, field: str) -> list[tuple[int, int]]:
        """The places of everything secret in one of the record's texts, to be masked wherever it is shown."""
        if field not in self._secrets:
            shown_by = [each.spans for each in DERIVED.values() if each.spans and field in each.shows]
            spans = [span for places in shown_by for span in places(self)]
            self._secrets[field] = [(span.start, span.end) for span in spans if span.secret and span.field == field]
        return self._secrets[field]

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
