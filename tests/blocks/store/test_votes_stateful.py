"""Whatever is reported in whatever order: an actor is held exactly where an open incident's findings corroborate it."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.states import CLOSED
from firebreak.detectors.findings import Severity
from firebreak.detectors.records import Origin
from tests.stores import Clock, finding

# What rules say of a record is always the same, but for the votes that it may still gain.
RECORDS: dict[str, Any] = {
    "grave": {"severity": Severity.HIGH},
    "grave too": {"severity": Severity.CRITICAL, "origin": None},
    "middling": {"severity": Severity.MEDIUM},
    "slight": {"severity": Severity.LOW},
    "forged": {"severity": Severity.HIGH, "trusted": False},
    "out of a tool": {"severity": Severity.HIGH, "origin": Origin.TOOL},
}
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk is waited for
OPEN = [state for state in State if state not in CLOSED]


class Reporting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.url, self.clock = f"sqlite:///{self.folder.name}/store.db", Clock()
        self.store = Store(self.url, self.clock)
        self.given: dict[str, set[str]] = {}  # by the finding's key: all votes it had while its incident was open

    def teardown(self) -> None:
        connect(self.url).dispose()
        self.folder.cleanup()

    @rule(
        record=st.sampled_from(sorted(RECORDS)),
        actor=st.sampled_from(["ada", "grace"]),
        kind=st.sampled_from(["prompt-injection", "prompt-leak"]),
        name=st.sampled_from(["one", "two"]),
        votes=st.sets(st.sampled_from(["certain", "patterns", "score", "model"]), max_size=2),
        seen_by=st.sampled_from(["guard", "scan-logs"]),
    )
    def report(self, record: str, actor: str, kind: str, name: str, votes: set[str], seen_by: str) -> None:
        about: dict[str, Any] = {"actor": actor, "kind": kind, "rule": f"{kind}-{name}", "votes": tuple(sorted(votes))}
        found = finding(record, **about, **RECORDS[record])
        closed = [i.id for i in self.store.incidents.in_states(*CLOSED)]
        if not any(s.finding.key == found.key for number in closed for s in self.store.incidents.sightings(number)):
            self.given.setdefault(found.key, set()).update(votes)
        self.store.report(Batch(findings=[found]), seen_by)

    @rule(data=st.data(), verdict=st.sampled_from(sorted(CLOSED)))
    def close(self, data: st.DataObject, verdict: State) -> None:
        if incidents := self.store.incidents.in_states(*OPEN):
            number = data.draw(st.sampled_from([incident.id for incident in incidents]))
            self.store.incidents.move(number, verdict, "test")

    @rule(seconds=st.sampled_from([1, 700]))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @invariant()
    def held_are_those_that_enough_speaks_against(self) -> None:
        wanted = set()
        for incident in self.store.incidents.in_states(*OPEN):
            votes, grave = defaultdict[str, set[str]](set), defaultdict[str, bool](bool)
            for sighting in self.store.incidents.sightings(incident.id):
                one = sighting.finding
                given = self.given[one.key]
                assert set(one.votes) == given
                if one.trusted and one.origin is not Origin.TOOL and one.severity is not Severity.LOW and given:
                    votes[one.kind] |= given
                    grave[one.kind] |= one.severity in (Severity.HIGH, Severity.CRITICAL)
            if any(grave[kind] and ("certain" in given or len(given) > 1) for kind, given in votes.items()):
                wanted.add((incident.id, incident.actor))
        assert {(hold.incident_id, hold.target) for hold in self.store.holds.all()} == wanted


Reporting.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestReporting = Reporting.TestCase
