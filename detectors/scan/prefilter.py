"""Which calls can't match any rule: every pattern that could speak in two engines, everything else from light fields.

For each call the rules are asked with the most that could hold: an atom on a text holds if an engine found its
pattern, an atom on a derived field if one of its signs was found, and what isn't known counts for the rule. So a rule
that says no here says no to the record; one that says yes is asked again with the record itself.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from firebreak.detectors.canaries import canary_pattern
from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import DERIVED, ORIGIN_FIELDS, Value
from firebreak.detectors.matching import Atom
from firebreak.detectors.records import Record
from firebreak.detectors.rules import RuleSet
from firebreak.detectors.scan.call import Call
from firebreak.detectors.scan.engine import NOTHING, Engine
from firebreak.detectors.scan.hints import APART, HINTS
from firebreak.detectors.scan.light import LightAtom, LightAtoms
from firebreak.detectors.scan.polarity import about_records, leaves
from firebreak.detectors.scan.texts import (
    ANSWER_FIELDS,
    PROMPT_FIELDS,
    answer_text,
    prompt_text,
    texts_by_origin,
)
from firebreak.detectors.text.views import VIEW_SIGNS, text_views
from firebreak.detectors.views import View

SAYS_NOTHING: dict[str, tuple[Value, ...]] = {"text": (None,), "flag": (None, False), "number": (None, 0)}
"""What a derived field may be where none of its signs was found, by its type."""
CANARY = "canary_in_response"
MOST_KEPT = 20_000
Glance = Callable[[str, Iterable[int], Collection[str]], bool]


class Answer(NamedTuple):
    """``judge``: a rule may match. Else none does, but for those that only feed correlations: ``counted``."""

    judge: bool
    counted: tuple[str, ...] = ()


JUDGE = Answer(judge=True)


class _Side:
    """The prompt's fields, or the answer's: what is looked for in their text, and what of it was found."""

    def __init__(self, fields: frozenset[str], text: Callable[[Call], str | None]) -> None:
        self.fields, self.text = fields, text
        self.atoms: dict[str, set[int]] = {}  # by pattern
        self.glances: dict[Glance, tuple[set[int], dict[str, None]]] = {}  # atoms, and signs

    def look_for(self, patterns: Iterable[str], index: int) -> None:
        for pattern in patterns:
            self.atoms.setdefault(pattern, set()).add(index)

    def freeze(self) -> None:
        """Build the engine; afterwards nothing is added."""
        hints = {name: HINTS.get(name, (sign,)) for name, sign in VIEW_SIGNS.items()}
        looked_for = [*self.atoms, *(sign for _, signs in self.glances.values() for sign in signs)]
        self.engine = Engine(_banks(looked_for, hints) if looked_for else [])
        hiding = {pattern for each in hints.values() for pattern in each}
        self._patterns = self.engine.patterns
        self._hiding = frozenset(n for n, pattern in enumerate(self._patterns) if pattern in hiding)
        self._glances = [
            (glance, frozenset(atoms), frozenset(n for n, pattern in enumerate(self._patterns) if pattern in signs))
            for glance, (atoms, signs) in self.glances.items()
        ]
        self._stands_for = [frozenset(self.atoms.get(pattern, ())) for pattern in self._patterns]
        self._kept: dict[frozenset[int], frozenset[int]] = {}

    def held(self, call: Call, text: str | None, found: frozenset[int]) -> frozenset[int]:
        """The atoms that may hold where these patterns were found."""
        hidden = bool(found & self._hiding)
        if hidden:
            found = found.union(*self._in_readings(call))
        held = self._kept.get(found)
        if held is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            held = self._kept[found] = NOTHING.union(*(self._stands_for[number] for number in found))
        for glance, atoms, signs in self._glances:
            if (hidden and found & signs) or (text and self._may_speak(glance, call, text, found & signs)):
                held |= atoms
        return held

    def _may_speak(self, glance: Glance, call: Call, text: str, found: Iterable[int]) -> bool:
        signs = [self._patterns[number] for number in found]
        if text == call.prompt:  # then every origin's text stands in it as a piece
            return glance(text, {part.end for part in call.parts or ()} or (len(text),), signs)
        return any(glance(each, (len(each),), signs) for each in texts_by_origin(call))

    def _in_readings(self, call: Call) -> list[frozenset[int]]:
        """What is found in the other readings of the texts."""
        view = View(cast(Record, call), Facts())
        texts = {value for field in self.fields if isinstance(value := view.value(field), str)}
        return self.engine.hits([reading.text for text in texts for reading in text_views(text)[1:]])


class Prefilter:
    """The rules' question turned round. Not to be shared between threads."""

    def __init__(self, rules: RuleSet, facts: Facts) -> None:
        atoms = leaves(rules)
        self._negated = {index for each in atoms.values() for index, negated in each.items() if negated}
        self._canaries = _canaries(facts)
        self._sides = _Side(PROMPT_FIELDS, prompt_text), _Side(ANSWER_FIELDS, answer_text)
        self._light: list[LightAtom] = []
        self._derived: dict[int, Callable[[View], bool]] = {}
        self._most = [False] * (len(rules.matcher.atoms) + 1)
        for index, atom in enumerate(rules.matcher.atoms):
            self._sort(index, atom)
        for side in self._sides:
            side.freeze()
        light = {atom.index for atom in self._light}
        self._rules = [(rule, not rule.raises and light.issuperset(atoms[rule.id])) for rule in about_records(rules)]
        self.know(facts)

    def know(self, facts: Facts) -> bool:
        """Judge by these facts from now on; False where that takes a new filter."""
        if _canaries(facts) != self._canaries:
            return False
        self._lights = LightAtoms(self._light, facts)
        self._kept: dict[tuple[tuple[int, ...], frozenset[int]], Answer] = {}
        return True

    def ask(self, calls: Sequence[Call | None]) -> Iterator[Answer]:
        """For each call, whether a record like it has to be judged by the rules themselves, and which it surely only
        counts for; what is no call has to be judged. The texts are searched at once, and each answer is given when it
        is asked for: facts may change from one call to the next.
        """
        read = [call for call in calls if call is not None]
        held = [NOTHING] * len(read)
        for side in self._sides:
            texts = [side.text(call) for call in read]
            found = side.engine.hits(texts)
            for number, call in enumerate(read):
                held[number] |= side.held(call, texts[number], found[number])
        of_texts = iter(held)
        for each in calls:
            yield JUDGE if each is None else self._answer(each, next(of_texts))

    def _answer(self, call: Call, texts: frozenset[int]) -> Answer:
        """``texts``: the atoms on texts that may hold."""
        light = self._lights.hold(call)
        if light is None:
            return JUDGE
        key = light, texts
        answer = self._kept.get(key)
        if answer is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            answer = self._kept[key] = self._ask(light, texts)
        if answer.judge and not self._derived.keys().isdisjoint(texts):
            return self._ask(light, texts, View(cast(Record, call), self._lights.facts))
        return answer

    def _ask(self, light: Iterable[int], texts: Iterable[int], view: View | None = None) -> Answer:
        """Asked with a ``view``, derived fields are no longer guessed by their signs but computed."""
        hits = list(self._most)
        for index in texts:
            holds = self._derived.get(index)
            hits[index] = True if view is None or holds is None else holds(view)
        for index in light:
            hits[index] = True
        maybe = [(rule, certain) for rule, certain in self._rules if rule.condition(hits)]
        if all(certain for _, certain in maybe):
            return Answer(False, tuple(rule.id for rule, _ in maybe if rule.counted))
        return JUDGE

    def _sort(self, index: int, atom: Atom) -> None:
        """Where the answer to this atom comes from."""
        derived = DERIVED.get(atom.field)
        if derived is not None and derived.signs != ():
            signs = self._canaries if atom.field == CANARY else derived.signs
            if signs is None or (atom.test is not None and any(map(atom.test, SAYS_NOTHING[derived.type]))):
                self._count_for_the_rule(index)
            elif index not in self._negated:
                self._derived[index] = _computed(atom)
                side = self._side_of(derived.shows[0])
                if derived.glance is None:
                    side.look_for(signs, index)
                else:
                    atoms, known = side.glances.setdefault(derived.glance, (set(), {}))
                    atoms.add(index)
                    known.update(dict.fromkeys(signs))
        elif derived is None and atom.field in PROMPT_FIELDS | ANSWER_FIELDS and atom.pattern is not None:
            if index not in self._negated:  # else what isn't found counts for the rule
                self._side_of(atom.field).look_for((atom.pattern.pattern,), index)
        elif derived is None and atom.field in ORIGIN_FIELDS:
            self._count_for_the_rule(index)
        else:
            self._light.append(LightAtom(index, atom.field, atom.test or _finds(atom.pattern)))

    def _side_of(self, field: str) -> _Side:
        return next(side for side in self._sides if field in side.fields)

    def _count_for_the_rule(self, index: int) -> None:
        self._most[index] = index not in self._negated


def _banks(atoms: Iterable[str], hints: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    """Every pattern once: those of rules and derived fields, then those of views, the slow ones by themselves."""
    together = [hint for name, each in hints.items() if name not in APART for hint in each]
    seen: set[str] = set()
    banks: list[list[str]] = []
    for bank in (atoms, together, *(hints[name] for name in APART if name in hints)):
        new = [pattern for pattern in dict.fromkeys(bank) if pattern not in seen]
        seen.update(new)
        if new:
            banks.append(new)
    return banks


def _canaries(facts: Facts) -> tuple[str, ...]:
    issued = {canary for each in facts.canaries.values() for canary in each if canary}
    return tuple(canary_pattern(canary) for canary in sorted(issued))


def _finds(pattern: Any) -> Callable[[Value], bool]:
    return lambda value: value is not None and pattern.search(str(value)) is not None


def _computed(atom: Atom) -> Callable[[View], bool]:
    holds = atom.test or _finds(atom.pattern)
    return lambda view: holds(view.value(atom.field))
