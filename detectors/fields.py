"""The fields a rule may name: the record's own, and those derived from record and facts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from firebreak.detectors import canaries, tokens
from firebreak.detectors.facts import Facts
from firebreak.detectors.injection import derived as injection
from firebreak.detectors.injection.features import signs
from firebreak.detectors.injection.glance import may_score
from firebreak.detectors.leaks import credentials, in_response, personal
from firebreak.detectors.records import Origin, Record
from firebreak.detectors.usage.window import USAGE_FIELDS

if TYPE_CHECKING:
    from firebreak.detectors.views import View

FieldType = Literal["text", "number", "flag"]
Value = str | float | bool | None

# The prompt split by who wrote it; `prompt` is all of it.
ORIGIN_FIELDS = {f"prompt.{o}": o for o in (Origin.USER, Origin.DOCUMENT, Origin.TOOL)}


@dataclass(frozen=True)
class Span:
    """A place in one of the record's texts, in characters; what is ``secret`` is masked wherever it is shown."""

    field: str
    start: int
    end: int
    secret: bool = False


@dataclass(frozen=True)
class Derived:
    """A field computed from the record and the facts.

    ``signs`` are RE2 patterns: where none matches what it ``shows`` (the prompt, or the answer), ``value`` is one that
    no rule minds (None, False, 0). An empty tuple: no text is looked at, only ids, numbers and times. None: always
    computed. A ``glance`` at the text, where its origins end in it and which signs it shows, says no more surely.
    """

    type: FieldType
    value: Callable[[View], Value]
    shows: tuple[str, ...]
    spans: Callable[[View], list[Span]] | None = None
    signs: tuple[str, ...] | None = ()
    glance: Callable[[str, Iterable[int], Collection[str]], bool] | None = None


def _of_token(value: Callable[[Record, Facts], bool | None], *shown: str) -> Derived:
    return Derived("flag", lambda view: value(view.record, view.facts), ("token_id", *shown))


def _in_response(places: Callable[[View], list[tuple[int, int]]], secret: bool) -> Callable[[View], list[Span]]:
    return lambda view: [Span("response", start, end, secret) for start, end in places(view)]


def _in_prompt(places: Callable[[View], list[tuple[int, int]]]) -> Callable[[View], list[Span]]:
    return lambda view: [Span("prompt", start, end) for start, end in places(view)]


DERIVED: Mapping[str, Derived] = {
    "canary_in_response": Derived(
        "flag", canaries.canary_in_response, ("response",), _in_response(canaries.canary_places, secret=True), None
    ),
    "credential_in_response": Derived(
        "text",
        in_response.credential_in_response,
        ("response",),
        _in_response(in_response.credential_places, secret=True),
        credentials.SIGNS,
    ),
    "personal_data_in_response": Derived(
        "text",
        in_response.personal_data_in_response,
        ("response",),
        _in_response(in_response.personal_data_places, secret=True),
        personal.SIGNS,
    ),
    # No pattern is a sign of it, and it needs the record alone: `()`, though it looks at the answer.
    "system_prompt_overlap": Derived(
        "number",
        in_response.system_prompt_overlap,
        ("response",),
        _in_response(in_response.system_prompt_places, secret=False),
    ),
    "injection_score": Derived(
        "number", injection.injection_score, ("prompt",), _in_prompt(injection.highest_places), signs(), may_score
    ),
    "injection_suspected": Derived(
        "flag", injection.injection_suspected, ("prompt",), _in_prompt(injection.suspected_places), signs(), may_score
    ),
    "token_known": _of_token(tokens.token_known),
    "token_revoked": _of_token(tokens.token_revoked),
    "token_may_use_model": _of_token(tokens.token_may_use_model, "model"),
    "token_may_use_version": _of_token(tokens.token_may_use_version, "model_version"),
    "token_may_use_workflow": _of_token(tokens.token_may_use_workflow, "workflow"),
    "token_may_use_endpoint": _of_token(tokens.token_may_use_endpoint, "endpoint"),
    "token_in_hours": _of_token(tokens.token_in_hours, "time"),
    "token_origin_allowed": _of_token(tokens.token_origin_allowed, "source_address"),
    "token_origin_known": _of_token(tokens.token_origin_known, "source_address"),
    "token_woke": _of_token(tokens.token_woke, "time"),
}

_TEXTS = ("workflow", "flow_run_id", "user", "token_id", "model", "model_version", "prompt", "response", "endpoint",
          "source_address")  # fmt: skip
FIELDS: Mapping[str, FieldType] = {
    **dict.fromkeys((*_TEXTS, *ORIGIN_FIELDS, "error", "router_label", "router_version", "feedback"), "text"),
    **dict.fromkeys(
        ("latency_ms", "prompt_tokens", "response_tokens", "router_confidence", "status", "cost"), "number"
    ),
    "trusted": "flag",
    **{name: derived.type for name, derived in DERIVED.items()},
}
"""Of an interaction-log record; the type of each."""

FIELDS_OF: Mapping[str, Mapping[str, FieldType]] = {"interaction-log": FIELDS, "usage": USAGE_FIELDS}
"""By the service a rule's logsource names."""
