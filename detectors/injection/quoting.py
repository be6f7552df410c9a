"""Whether a place in a text is quoted: between quotation marks that a word of reporting stands before."""

import re

# Orders (`say "…"`, `print "…"`) are no reports: they stay out of this list.
_REPORT = re.compile(
    r"\b(?:wrote|writes|said|says|saying|typed|types|posted|sent|sends|asked|tried|submitted|entered|received|got|saw|found"
    r"|reads?|reading|titled|entitled|called|named|phrases?|sentences?|strings?|prompts?|messages?|lines?|texts?|words"
    r"|wording|quotes?|quoted|comments?|subject|headline|attacks?|payloads?|injections?|examples?|e\.g\.?|for instance"
    r"|such as|like|means?|meaning of|translate|classify|is|was|does|of|contains?|containing|contained|included?|about"
    r"|between|or|and|mentions?|mentioned|states?|stated|schrieb|schreibt|sagte|steht|satz|nachricht|übersetze"
    r"|(?:translat\w+|übersetz\w+|traduc\w+|tradui\w+|traduz\w*|correct|proofread|paraphrase|rephrase|spell.?check)\b[^.!?\n]{0,40}"
    r"|escribió|dijo|dice|frase|mensaje|écrit|dit|scritto|disse|escreveu)[\s:,(\[-]{0,4}\Z",
    re.IGNORECASE,
)
_MARKS = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("`", "`"), ("'", "'"), ("\u2018", "\u2019"))
_REACH, _CUE = 600, 60


def is_quoted(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` lies inside a reported quotation, on one line."""
    low = max(text.rfind("\n", 0, start) + 1, start - _REACH)
    for opening, closing in _MARKS:
        opened = _opened(text, opening, low, start)
        if opened >= 0 and _closed(text, closing, end) and _REPORT.search(text, max(0, opened - _CUE), opened):
            return True
    return False


def _opened(text: str, mark: str, low: int, start: int) -> int:
    """Where the last such mark that no letter stands before is; -1 where there is none."""
    while (found := text.rfind(mark, low, start)) > 0 and text[found - 1].isalnum():
        start = found
    return found


def _closed(text: str, mark: str, end: int) -> bool:
    """Whether such a mark that no letter follows comes on the same line."""
    line = text.find("\n", end, end + _REACH)
    high = line if line >= 0 else min(len(text), end + _REACH)
    while (found := text.find(mark, end, high)) >= 0 and found + 1 < len(text) and text[found + 1].isalnum():
        end = found + 1
    return found >= 0
