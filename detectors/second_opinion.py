"""A guard model's vote: asked about a prompt that rules have found something in, but too little to act on.

The model's answer can add a vote to findings that are there. It can take none away, find nothing by itself, and
change no severity.
"""

from collections.abc import Callable, Sequence

from firebreak.detectors.containment import corroborated, counts
from firebreak.detectors.findings import Finding
from firebreak.detectors.records import Origin, Record

KIND = "prompt-injection"  # the trouble a guard model knows about
VOTE = "model"
LONGEST = 6_000  # characters of a prompt that are shown to it

Ask = Callable[[str], bool | None]
"""Is this text an attack? None: the model gave no (readable) answer."""


def corroborate(findings: Sequence[Finding], record: Record, ask: Ask) -> list[Finding]:
    """The same findings; those short of corroboration get the model's vote if it agrees. It is asked once at most."""
    votes: dict[str, set[str]] = {}
    for finding in findings:
        if finding.kind == KIND and counts(finding):
            votes.setdefault(finding.fingerprint, set()).update(finding.votes)
    short = {fingerprint for fingerprint, given in votes.items() if not corroborated(given) and VOTE not in given}
    lacking = [f for f in findings if f.kind == KIND and f.fingerprint in short and counts(f)]
    if not lacking or ask(shown(record, lacking)) is not True:
        return list(findings)
    return [f.model_copy(update={"votes": (*f.votes, VOTE)}) if f in lacking else f for f in findings]


def shown(record: Record, findings: Sequence[Finding]) -> str:
    """The user's own words; of a long text the part around what was found."""
    own = record.text_from(Origin.USER)
    if len(own) <= LONGEST:
        return _sendable(own)
    places = [e.start for f in findings for e in f.evidence if e.field == "prompt" and e.start is not None]
    found = [place for place in (_in_own(record, start) for start in places) if place is not None]
    begin = max(0, min(min(found, default=0) - LONGEST // 2, len(own) - LONGEST))
    return _sendable(own[begin : begin + LONGEST])


def _in_own(record: Record, at: int) -> int | None:
    """A place of the prompt as one in the user's own words; None where somebody else wrote it."""
    before = 0
    for part in record.parts:
        if part.origin is Origin.USER:
            if part.start <= at < part.end:
                return before + at - part.start
            before += part.end - part.start + 1  # the newline that joins
    return None if record.parts else at


def _sendable(text: str) -> str:
    """Without what UTF-8 can't hold: a text that can't be sent must not look like a model that is away."""
    return text.encode("utf-8", "replace").decode("utf-8")
