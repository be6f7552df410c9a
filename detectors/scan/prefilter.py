"""Which calls can't match any rule: every pattern that could speak in one engine, everything else from light fields.

For each call the rules are asked with the most that could hold: an atom on a text holds if the engine found its
pattern, an atom on a derived field if one of its signs was found, and what isn't known counts for the rule. So a rule
that says no here says no to the record; one that says yes is asked again with the record itself.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from firebreak.detectors.canaries import canary_pattern
from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import DERIVED, ORIGIN_FIELDS, Value
from firebreak.detectors.matching import Atom
from firebreak.detectors.records import Record
from firebreak.detectors.rules import RuleSet
from firebreak.detectors.scan.call import Call
from firebreak.detectors.scan.engine import Engine
from firebreak.detectors.scan.hints import APART, HINTS
from firebreak.detectors.scan.light import LightAtom, LightAtoms
from firebreak.detectors.scan.polarity import about_records, leaves
from firebreak.detectors.scan.texts import TEXT_FIELDS
from firebreak.detectors.text.views import VIEW_SIGNS, text_views
from firebreak.detectors.views import View

SAYS_NOTHING: dict[str, tuple[Value, ...]] = {"text": (None,), "flag": (None, False), "number": (None, 0)}
"""What a derived field may be where none of its signs was found, by its type."""
CANARY = "canary_in_response"
MOST_KEPT = 20_000


class Answer(NamedTuple):
    """``judge``: a rule may match. Else none does, but for those that only feed correlations: ``counted``."""

    judge: bool
    counted: tuple[str, ...] = ()


JUDGE = Answer(judge=True)
NOTHING: frozenset[int] = frozenset()


class Prefilter:
    """The rules' question turned round. Not to be shared between threads."""

    def __init__(self, rules: RuleSet, facts: Facts) -> None:
        atoms = leaves(rules)
        self._negated = {index for each in atoms.values() for index, negated in each.items() if negated}
        self._canaries = _canaries(facts)
        self._atoms: dict[str, set[int]] = {}  # by pattern
        self._light: list[LightAtom] = []
        self._derived: dict[int, Callable[[View], bool]] = {}
        self._most = [False] * (len(rules.matcher.atoms) + 1)
        for index, atom in enumerate(rules.matcher.atoms):
            self._sort(index, atom)
        light = {atom.index for atom in self._light}
        self._rules = [(rule, not rule.raises and light.issuperset(atoms[rule.id])) for rule in about_records(rules)]
        hints = {name: HINTS.get(name, (sign,)) for name, sign in VIEW_SIGNS.items()}
        self._engine = Engine(_banks(self._atoms, hints))
        hiding = {pattern for each in hints.values() for pattern in each}
        self._hiding = frozenset(n for n, pattern in enumerate(self._engine.patterns) if pattern in hiding)
        self._signs = frozenset(
            n
            for n, pattern in enumerate(self._engine.patterns)
            if not self._derived.keys().isdisjoint(self._atoms.get(pattern, ()))
        )
        self._stands_for = [self._atoms.get(pattern, set()) for pattern in self._engine.patterns]
        self.know(facts)

    def know(self, facts: Facts) -> bool:
        """Judge by these facts from now on; False where that takes a new filter."""
        if _canaries(facts) != self._canaries:
            return False
        self._lights = LightAtoms(self._light, facts)
        self._kept: dict[tuple[tuple[int, ...], frozenset[int]], Answer] = {}
        return True

    def nothing_in(self, texts: str) -> bool:
        """Whether no pattern is found in these texts (of many calls, one below the other)."""
        return not self._engine.hits(texts)

    def ask(self, call: Call, texts: str | None) -> Answer:
        """Whether a record like this has to be judged by the rules themselves, and which it surely only counts for.

        ``texts`` are the call's; None where nothing is to be found in them.
        """
        held = self._lights.hold(call)
        if held is None:
            return JUDGE
        found = frozenset(self._engine.hits(texts)) if texts else NOTHING
        if found & self._hiding:
            found |= self._hidden(call)
        key = held, found
        answer = self._kept.get(key)
        if answer is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            answer = self._kept[key] = self._ask(held, found)
        if answer.judge and not self._signs.isdisjoint(found):
            return self._ask(held, found, View(cast(Record, call), self._lights.facts))
        return answer

    def _hidden(self, call: Call) -> set[int]:
        """What is found in the other readings of the call's texts."""
        view, found = View(cast(Record, call), self._lights.facts), set[int]()
        for text in {view.value(field) for field in TEXT_FIELDS} - {None, ""}:
            for reading in text_views(str(text))[1:]:
                found.update(self._engine.hits(reading.text))
        return found

    def _ask(self, held: Iterable[int], found: Iterable[int], view: View | None = None) -> Answer:
        """Asked with a ``view``, derived fields are no longer guessed by their signs but computed."""
        hits = list(self._most)
        for index in {index for pattern in found for index in self._stands_for[pattern]}:
            holds = self._derived.get(index)
            hits[index] = True if view is None or holds is None else holds(view)
        for index in held:
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
            else:
                self._derived[index] = _computed(atom)
                for sign in signs:
                    self._look_for(sign, index)
        elif derived is None and atom.field in TEXT_FIELDS and atom.pattern is not None:
            self._look_for(atom.pattern.pattern, index)
        elif derived is None and atom.field in ORIGIN_FIELDS:
            self._count_for_the_rule(index)
        else:
            self._light.append(LightAtom(index, atom.field, atom.test or _finds(atom.pattern)))

    def _look_for(self, pattern: str, index: int) -> None:
        if index not in self._negated:  # else what isn't found counts for the rule
            self._atoms.setdefault(pattern, set()).add(index)

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
