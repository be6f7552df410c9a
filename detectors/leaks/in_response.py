"""What leaked in an answer: the values of derived fields, and the places that show them.

What the call's own prompt holds is no leak by the model: it only said it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from firebreak.detectors.leaks.credentials import Credential, credentials_in
from firebreak.detectors.leaks.fingerprints import longest_run
from firebreak.detectors.leaks.personal import PersonalData, personal_data_in

if TYPE_CHECKING:
    from firebreak.detectors.views import View

Places = list[tuple[int, int]]


def credential_in_response(view: View) -> str | None:
    """The type of the first credential in the answer, as detect-secrets calls it; None where there is none."""
    return next((one.type for one in _credentials(view)), None)


def credential_places(view: View) -> Places:
    return [(one.start, one.end) for one in _credentials(view)]


def personal_data_in_response(view: View) -> str | None:
    """``card`` or ``iban``, whichever comes first in the answer; None where there is neither."""
    return next((one.type for one in _personal_data(view)), None)


def personal_data_places(view: View) -> Places:
    return [(one.start, one.end) for one in _personal_data(view)]


def system_prompt_overlap(view: View) -> int | None:
    """How many words in a row of the workflow's system prompt the answer repeats; None where nothing is known.

    Reads the record alone, so a scan may ask it of a line that is decoded, but not yet parsed.
    """
    found = _overlap(view)
    return found[0] if found else None


def system_prompt_places(view: View) -> Places:
    found = _overlap(view)
    return [found[1:]] if found else []


def _credentials(view: View) -> Iterable[Credential]:
    response = view.value("response")
    if not isinstance(response, str) or not (found := credentials_in(response)):
        return ()
    prompt = view.record.prompt
    return (one for one in found if response[one.start : one.end] not in prompt)


def _personal_data(view: View) -> Iterable[PersonalData]:
    response = view.value("response")
    if not isinstance(response, str) or not (found := personal_data_in(response)):
        return ()
    prompt = view.record.prompt.replace(" ", "").replace("-", "").upper()
    return (one for one in found if one.number not in prompt)


def _overlap(view: View) -> tuple[int, int, int] | None:
    known = view.facts.system_prompts.get(view.record.workflow)
    if known is None or not view.record.response:
        return None
    return longest_run(known, view.record.response, view.record.prompt)
