"""A target that refuses, idles or answers late, and a process that acts on it and can die between any two things."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import sqlalchemy as sa

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.database import Database
from firebreak.blocks.store.ledger import Step


class Crash(BaseException):
    """The process is gone: nothing catches it, and nothing that it holds is given back."""


class World:
    """The target, what it is in the mood for, and when the process that acts on it dies."""

    def __init__(self) -> None:
        self.there: Counter[str] = Counter()
        self.on_the_way: list[str] = []
        self.seen: set[str] = set()
        self.mood = "works"
        self.left: int | None = None  # boundaries until something happens; None: nothing will
        self.only_deeds = False  # whether only what was just done to the target counts as a boundary
        self.what: Callable[[], None] = lambda: None
        self.dead = False

    def boundary(self, deed: bool = False) -> None:
        if self.dead:
            raise Crash
        if self.left is not None and (deed or not self.only_deeds):
            self.left -= 1
            if self.left == 0:
                self.what()

    def crash(self) -> None:
        self.dead = True
        raise Crash

    def settle(self) -> None:
        """What got no answer is carried out after all."""
        self.there.update(self.on_the_way)
        self.on_the_way.clear()


class Mortal(Database):
    """A process's own view of the store, which can end before and after each transaction."""

    world: World

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        self.world.boundary()
        with super().read() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self.world.boundary()
        with super().write() as conn:
            yield conn
        self.world.boundary()


class Deed(Action):
    """Adds one to the target's count of its step: done twice, it is there twice."""

    world: ClassVar[World]

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> LeftOut:
        return LeftOut(why="the machine makes its plans itself")

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        return self._look(step.digest(incident.id), True)

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        self.world.boundary()
        return {"there": self.world.there[step.digest(incident.id)]}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        self.world.boundary()
        if self.world.mood == "refuses":
            raise ActionError("not today")
        if self.world.mood == "late":
            self.world.on_the_way.append(step.digest(incident.id))
            raise TimeoutError
        if self.world.mood != "idle":
            self.world.there[step.digest(incident.id)] += 1
        self.world.boundary(deed=True)

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        self.world.boundary()
        if self.world.mood == "refuses":
            raise ActionError("not today")
        self.world.there[str(step.undo_of)] = former["there"]
        self.world.boundary(deed=True)

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        return self._look(str(step.undo_of), False)

    def _look(self, digest: str, wanted: bool) -> Probe:
        self.world.boundary()
        if self.world.mood == "blind":
            return Probe(done=None)
        there = self.world.there[digest] > 0
        if there:
            self.world.seen.add(digest)
        return Probe(done=there is wanted, seen={"there": there})


class Message(Deed):
    """The same, never taken back."""

    @property
    def reversible(self) -> bool:
        return False
