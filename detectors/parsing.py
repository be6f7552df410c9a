"""A log line (bytes) becomes a Record, or says what is wrong with it.

The interaction log holds one JSON object a line:

| field | type | meaning |
|---|---|---|
| ``time`` | RFC 3339 string | when the call began, with its offset; required |
| ``id`` | string | unique; without one it is made of the line's place and bytes |
| ``workflow`` | string | the AI workflow; without one, the one the source is for |
| ``flow_run_id``, ``user``, ``token_id`` | string | Prefect flow run; who asked; name of the API key used |
| ``model``, ``model_version`` | string | model asked for; the very version that answered |
| ``prompt`` | string or messages | all text sent, without the system prompt |
| ``parts`` | list | ``{origin, start, end}``: the characters of the prompt that came from ``user``, |
| | | ``document`` or ``tool``, in order; none: all from the user |
| ``response`` | string or messages | the answer |
| ``latency_ms``, ``router_confidence`` | number | milliseconds; 0 to 1 |
| ``status`` | integer | HTTP status of the model call |
| ``endpoint``, ``source_address`` | string | host the call went to; IP address it came from |
| ``cost`` | number | what the call cost, in the team's currency |
| ``prompt_tokens``, ``response_tokens`` | integer | as the endpoint counted them |
| ``error``, ``router_label``, ``feedback`` | string | what failed; the router's label; a person's label |
| ``router_version`` | string | the router's version that predicted |

Other keys are ignored. A missing field is looked up under its OpenTelemetry GenAI names
(``genai_names.py``: dotted keys, or objects within objects), and before either under the team's own
path in the field map. Plain logs are read by ``plain_log.py``.

Trust: format ``json`` is trusted, since a newline in a prompt is escaped there and can't forge a
line. ``plain`` is never trusted, and neither is ``auto``, which reads both: a newline in a plain log
can forge a JSON line as well. Name the format where Firebreak is to act on what it finds.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from firebreak.detectors.findings import digest
from firebreak.detectors.genai_names import ALIASES
from firebreak.detectors.json_line import MalformedLine, read_json, storable
from firebreak.detectors.plain_log import looks_plain, read_plain
from firebreak.detectors.records import Origin, Part, Record

__all__ = ["FIELDS", "Format", "LineParser", "MalformedLine"]

Format = Literal["auto", "json", "plain"]
FIELDS = tuple(name for name in Record.model_fields if name != "trusted")


def utc_now() -> datetime:
    return datetime.now(UTC)


class LineParser:
    """Reads the lines of one source.

    ``field_map`` takes a field of the record to the team's dotted path, as ``{"prompt": "req.body.text"}``.
    ``clock`` gives the time of a plain line that has none of its own. ``prompts_are_the_users`` says that a
    prompt without parts is the user's own words; nobody is quarantined for it otherwise.
    """

    def __init__(
        self,
        format: Format,
        field_map: dict[str, str],
        workflow: str,
        clock: Callable[[], datetime] = utc_now,
        prompts_are_the_users: bool = False,
    ) -> None:
        if format not in ("auto", "json", "plain"):
            raise ValueError(f"format: {format!r} is unknown; allowed: auto, json, plain")
        if unknown := sorted(set(field_map) - set(FIELDS)):
            raise ValueError(f"field map: no field {', '.join(unknown)}; allowed: {', '.join(FIELDS)}")
        self.format = format
        self.workflow = workflow
        self.mapped = bool(field_map)
        self._clock = clock
        self._users = prompts_are_the_users
        self._paths = {
            name: ((field_map[name],) if name in field_map else ()) + (name, *ALIASES.get(name, ())) for name in FIELDS
        }

    def parse(self, line: bytes, where: str) -> Record | None:
        """The record in a line; None for a blank line, or for ordinary chatter in a plain log.

        ``where`` names the line's place (source and offset) and goes into the id of a record without one.

        Raises:
            MalformedLine: the line is no record. Nothing else is raised, whatever the bytes.
        """
        try:
            text = line.decode("utf-8").removeprefix("\ufeff").strip()
        except UnicodeDecodeError as error:
            raise MalformedLine(f"not UTF-8: byte {error.start} of the line") from None
        if not text:
            return None
        if self.format == "json" or (self.format == "auto" and text[0] == "{"):
            fields = read_json(text, self._paths)
        elif self.format == "auto" and not looks_plain(text):
            raise MalformedLine("neither a JSON object nor a line of a plain log")
        else:
            plain = read_plain(text)
            if plain is None:
                return None
            fields = {**plain, "time": plain.get("time") or self._clock()}
        fields.setdefault("id", digest(storable(where), hashlib.sha256(line).hexdigest()))
        fields.setdefault("workflow", self.workflow)
        try:
            record = Record.model_validate({**fields, "trusted": self.format == "json"}, strict=True)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise MalformedLine(f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from None
        if self._users and record.prompt and not record.parts:
            whole = Part(origin=Origin.USER, start=0, end=len(record.prompt))
            return record.model_copy(update={"parts": (whole,)})
        return record
