"""How a call ended, told from its record: failed, declined by the model, or held back by the guard."""

from firebreak.detectors.patterns import regex

HELD_BACK = "refused: "  # how the guard begins the error of a call that it refused
LOOKED_AT = 200  # characters of the answer: a refusal says so at once

# How an answer begins that declines (English): regrets if any, then a "can't" or "won't" with a verb of helping or
# telling behind it, since "I can't find your invoice" is an answer.
_APOSTROPHE = r"['\x{2019}]"
_REGRETS = (
    rf"(?:(?:(?:i{_APOSTROPHE}m|i\s+am|we{_APOSTROPHE}re|we\s+are)\s+(?:\w+\s+)?)?(?:sorry|afraid)|(?:my\s+)?apologies|"
    r"i\s+apologi[sz]e|unfortunately|as\s+an?\s+(?:ai|artificial|language|large)[^.!?\n]{0,60}?)[,.!:;]?\s+"
    r"(?:but\s+|that\s+)?"
)
_WILL_NOT = (
    rf"(?:(?:i|we)\s+(?:can{_APOSTROPHE}t|can\s?not|could(?:n{_APOSTROPHE}t|\s+not)|won{_APOSTROPHE}t|will\s+not|"
    rf"must\s+not|may\s+not)|(?:i{_APOSTROPHE}m|i\s+am|we{_APOSTROPHE}re|we\s+are)\s+"
    r"(?:not\s+(?:able|permitted|allowed|programmed)|unable)\s+to)\s+(?:\w+\s+){0,2}?"
    r"(?:assist|help|comply|fulfil+|provide|share|discuss|disclose|reveal|engage|participate|create|generate|produce|"
    r"write|support|answer|do\s+that|continue)\b"
)
_DECLINE = r"i\s+(?:must|have\s+to|will\s+have\s+to|need\s+to)\s+(?:\w+\s+)?(?:decline|refuse)\b"
DECLINED = rf"(?i)\A[\s\"'*_#>-]*(?:{_REGRETS}){{0,3}}(?:{_WILL_NOT}|{_DECLINE})"
_DECLINED = regex(DECLINED)
_FIRST = frozenset("iIwWmMaAsSuU\"'*_#>- \t\n\r")  # letters and marks a declining answer can begin with


def declined(response: str | None) -> bool:
    """Whether the model declined, by how the answer begins (English)."""
    if not response or response[0] not in _FIRST:
        return False
    return _DECLINED.search(response[:LOOKED_AT]) is not None


def failed(error: str | None, status: int | None) -> bool:
    """Whether the call failed; what the guard refused did not."""
    if error is not None:
        return not error.startswith(HELD_BACK)
    return status is not None and status >= 400


def never_made(error: str | None, response: str | None) -> bool:
    """Whether the guard held the call back before it was made; a withheld answer had its call."""
    return response is None and error is not None and error.startswith(HELD_BACK)
