"""The texts of a call that rules look at: what the block engines are given."""

from typing import cast

from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import ORIGIN_FIELDS
from firebreak.detectors.records import Record
from firebreak.detectors.scan.call import Call
from firebreak.detectors.views import View

PROMPT_FIELDS = frozenset(("prompt", *ORIGIN_FIELDS))
ANSWER_FIELDS = frozenset(("response", "error"))
_NO_FACTS = Facts()


def prompt_text(call: Call) -> str:
    """The prompt, and what each origin wrote of it, each of them whole and between line bounds."""
    prompt = call.prompt or ""
    if not call.parts or _stand_in_lines(call):
        return prompt
    return "\n".join((prompt, *texts_by_origin(call)))


def answer_text(call: Call) -> str | None:
    """The answer and the error, one below the other."""
    if call.error is None:
        return call.response
    return call.error if call.response is None else f"{call.response}\n{call.error}"


def texts_by_origin(call: Call) -> list[str]:
    """What each origin wrote of the prompt, as a rule on that origin sees it."""
    view = View(cast(Record, call), _NO_FACTS)
    return [text for origin in ORIGIN_FIELDS.values() if (text := view.prompt_of(origin)) is not None]


def _stand_in_lines(call: Call) -> bool:
    """Whether every origin wrote one piece, between line bounds of the prompt: then the prompt holds all there is."""
    prompt, parts = call.prompt or "", call.parts or ()
    claimed = 0
    origins = set()
    for part in parts:
        start, end = part.start, part.end
        if start > claimed and prompt[claimed:start].strip():
            return False  # what no part claims is the user's
        if start < end:
            if (start and prompt[start - 1] != "\n") or (end < len(prompt) and prompt[end] != "\n"):
                return False
            if part.origin in origins:
                return False
            origins.add(part.origin)
        claimed = end
    return claimed >= len(prompt) or not prompt[claimed:].strip()
