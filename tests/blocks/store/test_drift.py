"""References, judged windows, retrainings and causes: on SQLite and PostgreSQL."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from firebreak.blocks.store import Batch, JudgedWindow, ReferenceTooLarge, RetrainingState, State, Store
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
    assert [(r.version, r.parquet, r.by, r.why, r.at) for r in store.drift.references(DATASET)] == [
        (1, b"one", "scan-drift", "the first rows", START),
        (2, b"two", "Ada", "after incident 7", START + timedelta(seconds=60)),
        (3, b"one", "Ada", "undone", START + timedelta(seconds=60)),
    ]
    assert store.drift.reference(DATASET) == back
    assert (first.sha256 == back.sha256, first.sha256 == second.sha256) == (True, False)
    assert store.drift.reference("another") is None


def test_a_reference_too_large_is_refused_with_its_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_module, "LARGEST", 10)
    with pytest.raises(ReferenceTooLarge, match="11 bytes; at most 10"):
        store.drift.renew(DATASET, b"x" * 11, 1, "Ada", "too much")
    assert store.drift.reference(DATASET) is None


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
    assert after.detail == {"columns": ["x"], "job": "7"}
    store.retrainings.set(one.id, state=RetrainingState.FAILED)
    store.retrainings.set(two.id, state=RetrainingState.WITHDRAWN)
    assert store.retrainings.open() == []
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
    engine.dispose()
    store = Store(url)
    assert [(i.title, i.cause) for i in store.incidents.in_states()] == [("old", None)]
    assert store.drift.reference("x") is None
    connect(url).dispose()
