"""References, judged windows, retrainings and causes: on SQLite and PostgreSQL."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from firebreak.blocks.store import (
    Batch,
    IncidentMoved,
    JudgedWindow,
    ReferenceTooLarge,
    RetrainingState,
    State,
    Store,
)
from firebreak.blocks.store import drift as drift_module
from firebreak.blocks.store.database import connect
from firebreak.detectors.findings import ActorType, Finding, Severity
from tests.stores import START, Clock, finding

DATASET = "support-tickets"


def window(number: int, reference: int = 1, **more: Any) -> JudgedWindow:
    values: dict[str, Any] = {
        "dataset": DATASET,
        "reference": reference,
        "first_record": f"r{number}0",
        "last_record": f"r{number}9",
        "began_at": START + timedelta(minutes=number),
        "ended_at": START + timedelta(minutes=number + 1),
        "rows": 10,
        "verdict": {"columns": []},
        "drifted": {"column latency_ms": number % 2 == 0},
        "confirmed": [],
    }
    return JudgedWindow(**{**values, **more})


def drifted(record: str, cause: str, severity: Severity = Severity.MEDIUM, kind: str = "drift") -> Finding:
    base = finding(record, kind=kind, severity=severity, actor_type=ActorType.DATASET, actor=DATASET)
    return base.model_copy(update={"rule": f"dataset-{kind}", "cause": cause, "origin": None, "token_id": None})


def test_references_are_versions_and_the_newest_is_in_force(store: Store, clock: Clock) -> None:
    assert store.drift.reference(DATASET) is None
    first = store.drift.renew(DATASET, b"one", 3, "scan-drift", "the first rows")
    clock.forward(60)
    second = store.drift.renew(DATASET, b"two", 4, "Ada", "after incident 7")
    assert store.drift.renew(DATASET, b"two", 4, "Ada", "after incident 7") == second  # said twice, put once
    back = store.drift.renew(DATASET, b"one", 3, "Ada", "undone")
    assert [(r.version, r.rows, r.by, r.why, r.at) for r in store.drift.references(DATASET)] == [
        (1, 3, "scan-drift", "the first rows", START),
        (2, 4, "Ada", "after incident 7", START + timedelta(seconds=60)),
        (3, 3, "Ada", "undone", START + timedelta(seconds=60)),
    ]
    assert store.drift.reference(DATASET) == back
    assert [store.drift.reference(DATASET, version) for version in (2, 4)] == [second, None]
    assert second.parquet == b"two"
    assert (first.sha256 == back.sha256, first.sha256 == second.sha256) == (True, False)
    assert store.drift.reference("another") is None


def test_a_reference_too_large_is_refused_with_its_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_module, "LARGEST", 10)
    with pytest.raises(ReferenceTooLarge, match="11 bytes; at most 10"):
        store.drift.renew(DATASET, b"x" * 11, 1, "Ada", "too much")
    assert store.drift.reference(DATASET) is None


def test_the_oldest_references_and_windows_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_module, "KEPT_REFERENCES", 2)
    monkeypatch.setattr(drift_module, "KEPT_WINDOWS", 3)
    store.drift.renew("another", b"one", 1, "Ada", "x")
    store.report(Batch(windows=[window(0, dataset="another")]), "scan-drift")
    for n in range(5):
        store.drift.renew(DATASET, b"%d" % n, n, "Ada", f"reason {n}")
        store.report(Batch(windows=[window(n)]), "scan-drift")
    assert [r.version for r in store.drift.references(DATASET)] == [4, 5]
    assert [w.first_record for w in store.drift.windows(DATASET)] == ["r20", "r30", "r40"]
    assert (len(store.drift.references("another")), len(store.drift.windows("another"))) == (1, 1)


def test_a_window_that_is_there_already_is_said_and_one_of_another_time_is_another(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.report(Batch(windows=[window(1)]), "scan-drift")
    assert caplog.messages == []
    later = window(1, began_at=START + timedelta(days=1))  # a file whose rows have no ids
    store.report(Batch(windows=[later, window(1, rows=7)]), "scan-drift")
    assert store.drift.windows(DATASET) == [window(1), later]
    assert caplog.messages == ["dataset support-tickets: window r10 to r19 was written before; it stays as it was"]


def test_a_window_is_written_once_with_findings_and_position(store: Store) -> None:
    batch = Batch(windows=[window(1)], findings=[drifted("r19", "unclear")], source="drift:x", position={"rows": 10})
    assert store.report(batch, "scan-drift").new == 1
    assert store.report(batch, "scan-drift").repeated == 1
    store.report(Batch(windows=[window(2), window(3, reference=2)]), "scan-drift")
    assert [w.first_record for w in store.drift.windows(DATASET)] == ["r10", "r20", "r30"]
    assert [w.first_record for w in store.drift.windows(DATASET, limit=2)] == ["r20", "r30"]
    assert store.drift.windows(DATASET, reference=2) == [window(3, reference=2)]
    assert store.position("drift:x") == {"rows": 10}


def test_a_cause_found_later_sends_a_watched_incident_back_to_triage(store: Store) -> None:
    opened = store.report(Batch(findings=[drifted("a", "unclear")]), "scan-drift").opened
    ((number, severity),) = opened
    assert severity is Severity.MEDIUM
    assert store.incidents.get(number).cause == "unclear"
    store.incidents.move(number, State.TRIAGED, "triage", triage={"steps": []})

    assert store.report(Batch(findings=[drifted("b", "unclear")]), "scan-drift").opened == []
    assert store.incidents.get(number).state is State.TRIAGED

    assert store.report(Batch(findings=[drifted("c", "population")]), "scan-drift").opened == [(number, severity)]
    incident = store.incidents.get(number)
    assert (incident.cause, incident.state, incident.findings) == ("population", State.OPEN, 3)

    store.report(Batch(findings=[drifted("d", "unclear")]), "scan-drift")
    assert store.incidents.get(number).cause == "population"
    assert [e.detail for e in store.incidents.timeline(number) if e.entry == "cause-found"] == [
        {"cause": "population", "was": "unclear"}
    ]


def test_another_cause_does_not_disturb_an_answer_under_way(store: Store) -> None:
    ((number, _),) = store.report(Batch(findings=[drifted("a", "population")]), "scan-drift").opened
    store.incidents.move(number, State.TRIAGED, "triage", triage={"steps": []})
    store.incidents.move(number, State.RESPONDING, "respond")
    assert store.report(Batch(findings=[drifted("b", "model")]), "scan-drift").opened == []
    incident = store.incidents.get(number)
    assert (incident.cause, incident.state) == ("population", State.RESPONDING)


def standing(store: Store, cause: str, *states: State) -> int:
    """An incident of this cause that was triaged for it and came as far as the last of these."""
    ((number, _),) = store.report(Batch(findings=[drifted("a", cause)]), "scan-drift").opened
    assert store.incidents.conclude(store.incidents.get(number), {"steps": [], "cause": cause})
    for state in states:
        store.incidents.move(number, state, "test")
    return number


ANSWERED = [(), (State.RESPONDING, State.CONTAINED), (State.RESPONDING, State.NEEDS_PERSON)]


@pytest.mark.parametrize("states", ANSWERED)
@pytest.mark.parametrize("was", ["unclear", "population"])
def test_another_cause_brings_an_answered_incident_back_to_triage(
    store: Store, states: tuple[State, ...], was: str
) -> None:
    number = standing(store, was, *states)
    for same in (was, "unclear"):
        assert store.report(Batch(findings=[drifted(f"b {same}", same)]), "scan-drift").opened == []
    opened = store.report(Batch(findings=[drifted("c", "model")]), "scan-drift").opened
    incident = store.incidents.get(number)
    assert (opened, incident.cause, incident.state) == ([(number, Severity.MEDIUM)], "model", State.OPEN)


def test_a_cause_found_during_the_answer_is_not_lost_with_it(store: Store) -> None:
    number = standing(store, "unclear", State.RESPONDING)
    store.report(Batch(findings=[drifted("b", "model")]), "scan-drift")
    assert store.incidents.get(number).cause == "unclear"
    store.incidents.move(number, State.CONTAINED, "respond")
    store.report(Batch(findings=[drifted("c", "model")]), "scan-drift")  # the next window
    incident = store.incidents.get(number)
    assert (incident.cause, incident.state) == ("model", State.OPEN)


def test_a_cause_that_triage_has_not_answered_is_compared_with_the_one_it_has(store: Store) -> None:
    number = standing(store, "population")
    store.incidents.set(number, cause="model")
    store.report(Batch(findings=[drifted("b", "model")]), "scan-drift")
    assert store.incidents.get(number).state is State.OPEN


@pytest.mark.parametrize(
    "worse",
    [drifted("b", "model"), drifted("b", "population", Severity.HIGH), drifted("b", "data", kind="degradation")],
)
def test_what_changed_while_triage_was_at_work_is_triaged_once_more(store: Store, worse: Finding) -> None:
    ((number, _),) = store.report(Batch(findings=[drifted("a", "population")]), "scan-drift").opened
    read = store.incidents.get(number)
    store.report(Batch(findings=[worse]), "scan-drift")
    assert store.incidents.conclude(read, {"steps": []}) is False
    assert (store.incidents.get(number).state, store.incidents.get(number).triage) == (State.OPEN, None)
    assert store.incidents.conclude(store.incidents.get(number), {"steps": []}) is True
    with pytest.raises(IncidentMoved, match="is triaged, not open"):
        store.incidents.conclude(store.incidents.get(number), {"steps": []})


def test_drift_and_bad_data_of_one_dataset_are_one_trouble(store: Store) -> None:
    store.report(Batch(findings=[drifted("a", "data"), drifted("a", "data", kind="data-quality")]), "scan-drift")
    (incident,) = store.incidents.in_states()
    assert incident.findings == 2
    assert store.holds.all() == []  # nobody is held for it


def test_a_retraining_is_asked_for_once(store: Store, clock: Clock) -> None:
    ((number, _),) = store.report(Batch(findings=[drifted("a", "population")]), "scan-drift").opened
    one = store.retrainings.request(number, DATASET, "key", {"columns": ["x"]})
    clock.forward(5)
    assert store.retrainings.request(number, DATASET, "key", {"columns": ["y"]}) == one
    two = store.retrainings.request(number, DATASET, "other key", {})
    assert [r.id for r in store.retrainings.of_incident(number)] == [one.id, two.id]
    assert [r.id for r in store.retrainings.open()] == [one.id, two.id]

    after = store.retrainings.set(one.id, state=RetrainingState.RUNNING, run_id="run", attempts=1, detail={"job": "7"})
    assert (after.state, after.run_id, after.attempts) == (RetrainingState.RUNNING, "run", 1)
    assert after.detail == {"columns": ["x"], "job": "7", "uuid": one.uuid}
    assert one.uuid != two.uuid
    store.retrainings.set(one.id, state=RetrainingState.FAILED)
    store.retrainings.set(two.id, state=RetrainingState.WITHDRAWN)
    assert store.retrainings.open() == []
    assert store.retrainings.set(two.id, state=RetrainingState.RUNNING, run_id="late").state == "withdrawn"
    assert store.retrainings.get(two.id).run_id is None
    assert [r.id for r in store.retrainings.since(DATASET, START)] == [one.id]
    assert store.retrainings.since(DATASET, START + timedelta(seconds=1)) == []
    told = [e.entry for e in store.incidents.timeline(number) if e.entry.startswith("retraining-")]
    assert told == [
        "retraining-requested",
        "retraining-requested",
        "retraining-running",
        "retraining-failed",
        "retraining-withdrawn",
    ]


def test_accused_records_and_held_actors_are_excluded_unless_it_was_a_false_alarm(store: Store) -> None:
    attack = finding("attack", actor="mallory", severity=Severity.HIGH)
    alarm = finding("alarm", actor="ada", severity=Severity.HIGH)
    store.report(Batch(findings=[attack, alarm, drifted("ordinary", "data")], token_users=set()), "scan-logs")
    both = store.excluded("answer-tickets")
    assert sorted(both.record_ids) == ["alarm", "attack"]
    assert (sorted(both.users), sorted(both.tokens)) == (["ada", "mallory"], [])
    wrong = next(i for i in store.incidents.in_states() if i.actor == "ada")
    store.incidents.move(wrong.id, State.FALSE_POSITIVE, "Ada")
    rest = store.excluded("answer-tickets")
    assert (sorted(rest.record_ids), sorted(rest.users)) == (["attack"], ["mallory"])
    assert store.excluded("another").record_ids == frozenset()


def test_records_of_findings_beyond_what_is_stored_are_excluded_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firebreak.blocks.store.reporting.KEPT_FINDINGS", 2)
    for _ in range(2):
        store.report(Batch(findings=[finding(f"r{n}") for n in range(5)]), "scan-logs")
    (incident,) = store.incidents.in_states()
    assert len(store.incidents.sightings(incident.id)) == 2
    assert sorted(store.excluded("answer-tickets").record_ids) == ["r0", "r1", "r2", "r3", "r4"]


def test_a_store_of_the_release_before_is_brought_up_with_what_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", "firebreak.blocks.store:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0001")
        conn.execute(
            sa.text(
                "INSERT INTO incidents (kind, title, workflow, actor_type, actor, severity, state, atlas, owasp, "
                "findings, opened_at, last_seen_at, updated_at, attempts) VALUES ('prompt-injection', 'old', 'w', "
                "'user', 'ada', 2, 'open', '[]', '[]', 1, 0, 0, 0, 0)"
            )
        )
        conn.execute(
            sa.text(
                "INSERT INTO findings (key, incident_id, severity, body, record_time, found_at, seen_by) "
                "VALUES ('k', 1, 2, '{\"record_id\": \"r1\"}', 0, 0, '{}')"
            )
        )
    engine.dispose()
    store = Store(url)
    assert [(i.title, i.cause) for i in store.incidents.in_states()] == [("old", None)]
    assert store.drift.reference("x") is None
    assert store.excluded("w").record_ids == {"r1"}
    connect(url).dispose()
