"""The scan's statistics: every call of a log counted into windows of five minutes, per workflow and per token.

The scanner makes one counter a step, counts every trusted record after it was judged, and puts the counter into
``Batch.usage``: the store adds the counts up in the transaction that moves the position. ``Facts.used_now`` is the
counter's ``uses`` meanwhile, so that a token that wakes does not wake again in the next line.
"""

from math import log
from typing import Any

from firebreak.detectors.origins import network
from firebreak.detectors.records import Record
from firebreak.detectors.usage.counts import GROWTH, NANO, WIDTH, Counts, microseconds
from firebreak.detectors.usage.history import TokenUse
from firebreak.detectors.usage.outcome import declined, failed, never_made

MOST_CELLS = 20_000  # windows x workflows x tokens of one pass; beyond it, new tokens count as calls without one
_PER_LOG = 1 / log(GROWTH)
_LARGEST = 1e9  # tokens, milliseconds, or units of money: beyond it, a number is a mistake and isn't counted


class UsageCounter:
    """Counts of one pass. ``add`` takes about a microsecond, and takes any number."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, str, str | None], list[Any]] = {}
        self.uses: dict[str, TokenUse] = {}

    def add(
        self, time_us: int, workflow: str, token_id: str | None = None, status: int | None = None,
        latency_ms: float | None = None, tokens: int = 0, cost: float | None = None, error: bool = False,
        refused: bool = False, source_address: str | None = None,
    ) -> None:  # fmt: skip
        """Count one call: ``time_us`` since 1970, names as records have them, ``tokens`` of prompt and response,
        ``error`` and ``refused`` as ``outcome.py`` tells them. A call the guard held back was never made: leave it out.
        """
        key = (time_us // WIDTH, workflow, token_id)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cell(key)
        cell[0] += 1
        if error:
            cell[1] += 1
        if status == 401 or status == 403:
            cell[2] += 1
        if refused:
            cell[3] += 1
        if 0 < tokens < _LARGEST:
            cell[4] += tokens
        if cost is not None and 0 <= cost < _LARGEST:
            cell[5] += 1
            cell[6] += int(cost * NANO + 0.5)
        if latency_ms is not None and 0 <= latency_ms < _LARGEST:
            bucket = int(log(latency_ms) * _PER_LOG) + 1 if latency_ms >= 1 else 0
            buckets = cell[7]
            buckets[bucket] = buckets.get(bucket, 0) + 1
        if token_id is not None:
            use = self.uses.get(token_id)
            if use is None:
                use = self._use(token_id, time_us)
            use.calls += 1
            if time_us > use.last_us:
                use.last_us = time_us
            elif time_us < use.first_us:
                use.first_us = time_us
            if source_address is not None and (origin := network(source_address)):
                use.origins[origin] = time_us

    def add_record(self, record: Record) -> None:
        """``add`` for a whole record; one that the guard held back isn't counted."""
        if never_made(record.error, record.response):
            return
        self.add(
            microseconds(record.time),
            record.workflow,
            record.token_id,
            record.status,
            record.latency_ms,
            (record.prompt_tokens or 0) + (record.response_tokens or 0),
            record.cost,
            failed(record.error, record.status),
            declined(record.response),
            record.source_address,
        )

    def _cell(self, key: tuple[int, str, str | None]) -> list[Any]:
        """A new cell: the eight sums of a ``Counts``, in its order."""
        if len(self._cells) >= MOST_CELLS and key[2] is not None:
            return self._cells.get((key[0], key[1], None)) or self._cell((key[0], key[1], None))
        return self._cells.setdefault(key, [0, 0, 0, 0, 0, 0, 0, {}])

    def _use(self, token_id: str, time_us: int) -> TokenUse:
        use = TokenUse(time_us, time_us)
        if len(self.uses) < MOST_CELLS:
            self.uses[token_id] = use
        return use

    def windows(self) -> dict[tuple[str, str, int], Counts]:
        """The counts by kind (workflow, token), name and the window's beginning in microseconds since 1970."""
        found: dict[tuple[str, str, int], Counts] = {}
        for (slot, workflow, token_id), cell in self._cells.items():
            counts = Counts(*cell)
            found.setdefault(("workflow", workflow, slot * WIDTH), Counts()).add(counts)
            if token_id is not None:
                counts.workflows = {workflow: counts.calls}
                found.setdefault(("token", token_id, slot * WIDTH), Counts()).add(counts)
        return found
