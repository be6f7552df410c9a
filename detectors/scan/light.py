"""Rules that need no text: judged for every line, from names, numbers and time, and remembered where they can be.

What a rule reads is watched, not declared: a verdict that rests on names alone (token, model, workflow …) is kept
for the next line with the same names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import DERIVED, Value
from firebreak.detectors.scan.call import Call

MOST_KEPT = 20_000
LONGEST_KEPT = 200  # characters of a value that a kept verdict rests on
OF_ITS_OWN = frozenset(  # fields that hardly two lines share
    ("id", "time", "flow_run_id", "prompt", "parts", "response", "error", "feedback", "latency_ms", "prompt_tokens",
     "response_tokens", "cost", "router_confidence")
)  # fmt: skip


@dataclass(frozen=True)
class LightAtom:
    """An atom of the matcher that is decided without the texts."""

    index: int
    field: str
    holds: Callable[[Value], bool]


class LightView:
    """A call as the derived fields without signs see it: they look at nothing but record and facts."""

    def __init__(self, record: Any, facts: Facts) -> None:
        self.record, self.facts = record, facts

    def value(self, name: str) -> Value:
        if name in DERIVED:
            return DERIVED[name].value(self)  # type: ignore[arg-type]
        found: Value = getattr(self.record, name)
        return found.replace("\0", "\ufffd") if isinstance(found, str) else found


class LightAtoms:
    """The light atoms of a rule set, decided line by line."""

    def __init__(self, atoms: Sequence[LightAtom], facts: Facts) -> None:
        self.facts = facts
        self._shared = [atom for atom in atoms if atom.field not in OF_ITS_OWN]
        self._own = [atom for atom in atoms if atom.field in OF_ITS_OWN]
        self._read = {"token_id", "workflow"}
        self._key: Callable[[Call], Any] = attrgetter(*self._read)
        self._kept: dict[Any, tuple[int, ...]] = {}

    def hold(self, call: Call) -> tuple[int, ...] | None:
        """Indexes of the atoms that hold; None where a name needs the exact parser's cleaning."""
        found = self._kept.get(self._key(call))
        if found is None:
            found = self._decide(call)
            if found is None:
                return None
        if self._own:
            view = LightView(call, self.facts)
            own = [atom.index for atom in self._own if atom.holds(view.value(atom.field))]
            if own:
                return (*found, *own)
        return found

    def _decide(self, call: Call) -> tuple[int, ...] | None:
        """The shared atoms, and the verdict kept."""
        watched = _Watched(call)
        view = LightView(watched, self.facts)
        held, shared = [], []
        for atom in self._shared:
            watched.read.clear()
            holds = atom.holds(view.value(atom.field))
            if watched.read & OF_ITS_OWN:
                self._own.append(atom)
                continue
            shared.append(atom)
            if holds:
                held.append(atom.index)
            if not watched.read <= self._read:
                self._read |= watched.read
                self._kept.clear()
                self._key = attrgetter(*sorted(self._read))
        if len(shared) < len(self._shared):
            self._shared = shared
            self._kept.clear()
        values = [getattr(call, name) for name in self._read]
        if any(isinstance(value, str) and "\0" in value for value in values):
            return None
        if not any(isinstance(value, str) and len(value) > LONGEST_KEPT for value in values):
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[self._key(call)] = tuple(held)
        return tuple(held)


class _Watched:
    """A call that remembers which of its fields were read."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._call, name)
