"""Join, reopen or new: what a finding does to the incidents there are, by its times and its ties."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firebreak.blocks.store import Batch, Incident, State, Store
from firebreak.blocks.store.relations import FALSE_ALARM, RELATED, REOPENED
from firebreak.detectors.findings import ActorType, Finding, Severity
from tests.stores import Clock, finding

WORKFLOW: dict[str, Any] = {"actor_type": ActorType.WORKFLOW, "actor": "answer-tickets", "token_id": None}
TOKEN: dict[str, Any] = {"actor_type": ActorType.TOKEN, "actor": "key-7", "token_id": "key-7"}


def write(store: Store, *found: Finding) -> None:
    store.report(Batch(findings=[*found]), "scan-logs")


def in_run(one: Finding, run: str = "run-1") -> Finding:
    return one.model_copy(update={"flow_run_id": run})


def closed(store: Store, verdict: State) -> Incident:
    write(store, finding("r1"))
    (incident,) = store.incidents.in_states()
    store.incidents.move(incident.id, verdict, "ada")
    return incident


def everything(store: Store) -> list[Incident]:
    return sorted(store.incidents.in_states(*State), key=lambda incident: incident.id)


def test_lesser_trouble_of_the_same_run_joins(store: Store) -> None:
    write(store, in_run(finding("r1")))
    write(store, in_run(finding("r2", kind="anomaly", severity=Severity.MEDIUM, **WORKFLOW)))
    (incident,) = store.incidents.in_states()
    assert (incident.findings, incident.kind, incident.actor) == (2, "prompt-injection", "mallory")
    assert len(store.incidents.sightings(incident.id)) == 2


@pytest.mark.parametrize(
    "other",
    [
        finding("r2", actor="eve", severity=Severity.LOW),  # another user
        finding("r2", kind="anomaly", **WORKFLOW),  # as grave: it needs an answer of its own
        finding("r2", kind="anomaly", severity=Severity.LOW, workflow="write-reports", actor_type=ActorType.WORKFLOW),
    ],
)
def test_what_an_answer_to_another_would_swallow_does_not_join(store: Store, other: Finding) -> None:
    write(store, in_run(finding("r1")))
    write(store, in_run(other))
    assert len(store.incidents.in_states()) == 2


def test_what_joined_by_its_run_takes_nothing_of_another_run_along(store: Store) -> None:
    low: dict[str, Any] = {"kind": "anomaly", "severity": Severity.LOW, **WORKFLOW}
    write(store, in_run(finding("r1")), in_run(finding("r2", **low)))
    write(store, in_run(finding("r3", **low), "run-2"))
    assert [i.findings for i in everything(store)] == [2, 1]


@pytest.mark.parametrize(("users", "incidents"), [(("mallory",), 1), (("mallory", "eve"), 2)])
def test_a_user_and_a_token_are_one_trouble_while_nobody_else_has_the_token(
    store: Store, users: tuple[str, ...], incidents: int
) -> None:
    store.report(Batch(token_users={("key-7", user) for user in users}), "scan-logs")
    write(store, finding("r1", token_id="key-7"))
    write(store, finding("r2", kind="unauthorised-use", origin=None, **TOKEN))
    assert len(store.incidents.in_states()) == incidents


def test_the_window_of_a_run_slides_and_ends(store: Store, clock: Clock) -> None:
    low: dict[str, Any] = {"kind": "anomaly", "severity": Severity.LOW, **WORKFLOW}
    write(store, in_run(finding("r0")))
    for n in (1, 2):
        clock.forward(RELATED.total_seconds() - 1)
        write(store, in_run(finding(f"r{n}", **low)))
    assert len(store.incidents.in_states()) == 1
    clock.forward(RELATED.total_seconds() + 1)
    write(store, in_run(finding("r9", **low)))
    assert len(store.incidents.in_states()) == 2


def test_a_resolved_trouble_that_goes_on_is_opened_again(store: Store, clock: Clock) -> None:
    before = closed(store, State.RESOLVED)
    clock.forward(60)
    report = store.report(Batch(findings=[finding("r2", severity=Severity.CRITICAL)]), "scan-logs")
    (incident,) = everything(store)
    assert (incident.id, incident.state, incident.findings) == (before.id, State.OPEN, 2)
    assert (incident.closed_at, incident.severity, incident.contained_at) == (None, Severity.CRITICAL, store.now)
    assert report.opened[-1] == (incident.id, Severity.CRITICAL)
    assert [hold.target for hold in report.contained] == ["mallory"]
    assert "reopened" in [entry.entry for entry in store.incidents.timeline(incident.id)]


@pytest.mark.parametrize(
    ("verdict", "again", "seconds"),
    [
        (State.RESOLVED, {}, REOPENED.total_seconds()),
        (State.RESOLVED, {"severity": Severity.MEDIUM}, 60),  # anyone may have caused it
        (State.FALSE_POSITIVE, {}, 60),  # another record of the same pattern: nobody has looked at it
    ],
)
def test_a_new_incident_names_the_one_before(
    store: Store, clock: Clock, verdict: State, again: dict[str, Any], seconds: float
) -> None:
    before = closed(store, verdict)
    clock.forward(seconds)
    write(store, finding("r2", **again))
    still, new = everything(store)
    assert (still.state, new.state, new.related_to) == (verdict, State.OPEN, before.id)


def test_a_drift_is_never_opened_again(store: Store) -> None:
    drift: dict[str, Any] = {"kind": "drift", "actor_type": ActorType.DATASET, "actor": "tickets", "token_id": None}
    write(store, finding("w1", **drift))
    store.incidents.move(1, State.RESOLVED, "ada")
    write(store, finding("w2", **drift))
    assert [i.state for i in everything(store)] == [State.RESOLVED, State.OPEN]


def test_what_a_person_called_harmless_is_counted_and_opens_nothing(store: Store, clock: Clock) -> None:
    incident = closed(store, State.FALSE_POSITIVE)
    clock.forward(7 * 24 * 3600)
    report = store.report(Batch(findings=[finding("r1", rule="prompt-injection-score")] * 2), "scan-logs")
    assert (report.new, report.suppressed, report.opened, store.holds.all()) == (0, 2, [], [])
    assert store.automation.suppressed(incident.id) == {FALSE_ALARM: 2}
    assert [i.state for i in everything(store)] == [State.FALSE_POSITIVE]


def later(one: Finding) -> Finding:
    return one.model_copy(update={"time": one.time + timedelta(seconds=1)})


@pytest.mark.parametrize(
    "other",
    [
        finding("r1", rule="other", severity=Severity.CRITICAL),  # a graver claim
        finding("r1", rule="other", kind="prompt-leak"),  # another trouble
        later(finding("r1", rule="other")),  # an id used again
    ],
)
def test_a_false_alarm_hides_nothing_else(store: Store, other: Finding) -> None:
    closed(store, State.FALSE_POSITIVE)
    report = store.report(Batch(findings=[other]), "scan-logs")
    assert (report.new, report.suppressed, len(report.opened)) == (1, 0, 1)


@given(gaps=st.lists(st.tuples(st.integers(0, 7200), st.booleans()), min_size=1, max_size=8))
@example(gaps=[(0, True), (3599, True), (3600, False)])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_same_trouble_again_joins_reopens_or_is_new_by_its_times_alone(
    store: Store, clock: Clock, gaps: list[tuple[int, bool]]
) -> None:
    """Each finding comes so many seconds after the one before; after some, a person resolves the incident."""
    actor = f"actor-{len(everything(store))}"
    wanted: list[int] = []
    left: float | None = None  # seconds since the newest incident was resolved; None: it is open
    for number, (seconds, resolve) in enumerate(gaps):
        clock.forward(seconds)
        write(store, finding(f"{actor}-{number}", actor=actor))
        new = not wanted or (left is not None and left + seconds >= REOPENED.total_seconds())
        wanted = [*wanted, 1] if new else [*wanted[:-1], wanted[-1] + 1]
        mine = [i for i in everything(store) if i.actor == actor]
        assert [i.findings for i in mine] == wanted
        assert mine[-1].state is State.OPEN
        left = 0 if resolve else None
        if resolve:
            store.incidents.move(mine[-1].id, State.RESOLVED, "ada")
