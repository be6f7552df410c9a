"""What a matched rule rests on, and whom it may blame."""

from dataclasses import dataclass, replace

from firebreak.detectors.evidence import excerpt_of
from firebreak.detectors.facts import find_canary
from firebreak.detectors.findings import ActorType, Evidence
from firebreak.detectors.matching import Atom
from firebreak.detectors.records import Origin
from firebreak.detectors.views import FACTS, ORIGIN_FIELDS, View

MOST_EVIDENCE = 5


@dataclass(frozen=True)
class Match:
    """A rule's match: what the finding points at, the part of the prompt that matched, the evidence."""

    actor: ActorType
    origin: Origin | None
    evidence: tuple[Evidence, ...]


def evidence_of(atoms: list[Atom], actor: ActorType, view: View) -> Match:
    """The evidence of the atoms that hold; the user's own text comes first when it is among what matched."""
    found: list[tuple[Origin | None, Evidence]] = []
    for atom in atoms:
        if atom.pattern is not None:
            found.append(_from_text(atom, view))
        else:
            found.extend((None, shown) for shown in _from_value(atom, view))
    unique = list(dict.fromkeys(found))
    origins = [origin for origin, _ in unique if origin]
    origin = Origin.USER if Origin.USER in origins else next(iter(origins), None)
    unique.sort(key=lambda pair: pair[0] is not origin)
    return Match(actor, origin, tuple(evidence for _, evidence in unique[:MOST_EVIDENCE]))


def blame(matches: list[Match], view: View) -> list[Match]:
    """The same matches, none pointing at a user for what a document or a tool brought in.

    A match outside the prompt (in the answer) has no origin of its own. It points at the user only when
    the whole prompt is the user's, or when the user's own text matched a rule that points at users.
    """
    accused = {m.origin for m in matches if m.actor is ActorType.USER and m.origin}
    others = [o for o in view.others() if o in accused] or view.others()
    judged = []
    for match in matches:
        origin = match.origin
        if match.actor is ActorType.USER:
            if origin is None and others and Origin.USER not in accused:
                origin = others[0]
            if origin in (Origin.DOCUMENT, Origin.TOOL):
                match = replace(match, actor=ActorType.WORKFLOW, origin=origin)
        judged.append(match)
    return judged


def _from_text(atom: Atom, view: View) -> tuple[Origin | None, Evidence]:
    text = str(view.value(atom.field))
    start, end = atom.pattern.search(text).span()
    if atom.field in ORIGIN_FIELDS:
        origin = ORIGIN_FIELDS[atom.field]
        start, end = view.in_prompt(origin, start, end)
        return origin, excerpt_of("prompt", str(view.value("prompt")), start, end, view.facts)
    whose = view.origin_at(start, end) if atom.field == "prompt" else None
    return whose, excerpt_of(atom.field, text, start, end, view.facts)


def _from_value(atom: Atom, view: View) -> list[Evidence]:
    """The fields that show a fact, or the field itself."""
    fields = FACTS[atom.field][1] if atom.field in FACTS else (atom.field,)
    shown = []
    for field in fields:
        value = view.value(field)
        text = "" if value is None else str(value)
        span = find_canary(view.record, view.facts) if atom.field == "canary_in_response" else None
        start, end = span or (0, len(text))
        shown.append(excerpt_of(field, text, start, end, view.facts))
    return shown
