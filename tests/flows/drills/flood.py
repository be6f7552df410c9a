"""Many findings at once by several processes, each finding in a transaction of its own as the guard does it."""

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import sqlalchemy as sa

from firebreak.blocks.store import Batch, Store, StoreUnavailable
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.schema import findings, incidents
from tests.flows.drills.crowd import together
from tests.stores import finding

Wanted = tuple[str, str]  # record and actor


@dataclass(frozen=True)
class Flood:
    """What became of it. ``milliseconds`` are those of each write, sorted."""

    seconds: float
    milliseconds: list[float]
    again: int  # writes that found the store away and were repeated
    stored: int
    counted: int  # by the incidents
    incidents: int

    def share(self, part: float) -> float:
        """The nearest-rank percentile of the milliseconds."""
        return self.milliseconds[max(0, math.ceil(part * len(self.milliseconds)) - 1)]


def write(url: str, wanted: Sequence[Wanted], within: float, told: Connection) -> None:
    """Write each finding at a random moment of the time given. Tells what each write took."""
    store, spent, again = Store(url), [], 0
    store.incidents.in_states()  # connected
    told.send("ready")
    told.recv()
    start, chance = time.monotonic(), random.Random(wanted[0][0])
    moments = sorted(chance.uniform(0, within) for _ in wanted)
    for moment, (record, actor) in zip(moments, wanted, strict=True):
        time.sleep(max(0.0, start + moment - time.monotonic()))
        batch = Batch(findings=[finding(record, actor=actor)])
        began = time.perf_counter()
        while True:
            try:
                store.report(batch, "drill")
                break
            except StoreUnavailable:
                again += 1
        spent.append((time.perf_counter() - began) * 1000)
    told.send((spent, again))


def flood(url: str, total: int, actors: int, writers: int, within: float = 0) -> Flood:
    """So many findings about so many actors, dealt out at random, within so many seconds (0: without a pause)."""
    wanted = [(f"record-{n}", f"actor-{n % actors}") for n in range(total)]
    random.Random(total).shuffle(wanted)
    hands = [wanted[n::writers] for n in range(writers)]
    Store(url)
    seconds, told = together([(write, (url, hand, within)) for hand in hands])
    with connect(url).connect() as conn:
        stored = conn.execute(sa.select(sa.func.count()).select_from(findings)).scalar_one()
        counted, made = conn.execute(sa.select(sa.func.sum(incidents.c.findings), sa.func.count())).one()
    spent = sorted(one for each, _ in told for one in each)
    return Flood(seconds, spent, sum(again for _, again in told), stored, counted, made)
