"""What a matched rule rests on, and whom it may blame."""

from dataclasses import dataclass, replace

from firebreak.detectors.evidence import excerpt_of
from firebreak.detectors.fields import DERIVED
from firebreak.detectors.findings import ActorType, Evidence
from firebreak.detectors.matching import Atom
from firebreak.detectors.records import Origin
from firebreak.detectors.views import PROMPT, View

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
            found.extend(_from_value(atom, view))
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
    """The first reading in which the atom's pattern is found, shown where that stands in the original text."""
    for reading in view.readings("prompt" if atom.field in PROMPT else atom.field):
        if atom.field in reading.fields and (found := atom.pattern.search(reading.view.text)):
            field, start, end = view.place(reading, *found.span())
            whose = reading.origin or (view.origin_at(start, end) if field == "prompt" else None)
            return whose, _shown(view, field, start, end, reading.view.name)
    raise LookupError(f"{atom.pattern.pattern} holds for `{atom.field}`, but is in no reading of it")


def _from_value(atom: Atom, view: View) -> list[tuple[Origin | None, Evidence]]:
    """The places or fields that show a fact, or the field itself; a place in the prompt has who wrote it."""
    derived = DERIVED.get(atom.field)
    if derived and derived.spans and (spans := derived.spans(view)):
        return [
            (view.origin_at(span.start, span.end) if span.field == "prompt" else None,
             _shown(view, span.field, span.start, span.end))
            for span in spans
        ]  # fmt: skip
    fields = derived.shows if derived else (atom.field,)
    return [(None, _shown(view, field, 0, len(_text(view, field)))) for field in fields]


def _text(view: View, field: str) -> str:
    value = view.value(field)
    return "" if value is None else str(value)


def _shown(view: View, field: str, start: int, end: int, seen_in: str = "plain") -> Evidence:
    shown = excerpt_of(field, _text(view, field), start, end, view.facts, view.secrets(field))
    return shown.model_copy(update={"view": seen_in})
