from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from firebreak.blocks.store import Aside, Batch, LeaseLost, State, Store
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.schema import set_aside
from firebreak.detectors.findings import ActorType, Finding, Severity
from firebreak.detectors.records import Origin
from tests.stores import Clock, finding


def test_the_same_trouble_is_one_incident_and_counted(store: Store) -> None:
    first = store.report(Batch(findings=[finding("r1")]), "scan-logs")
    second = store.report(Batch(findings=[finding("r2"), finding("r3")]), "scan-logs")
    assert (first.new, second.new, second.opened) == (1, 2, [])
    (incident,) = store.incidents.in_states()
    assert (incident.findings, incident.state, incident.actor) == (3, State.OPEN, "mallory")


def test_the_same_finding_seen_twice_is_stored_once_with_both_sightings(store: Store) -> None:
    store.report(Batch(findings=[finding("r1")]), "guard")
    again = store.report(Batch(findings=[finding("r1")]), "scan-logs")
    assert (again.new, again.repeated, again.opened) == (0, 1, [])
    (sighting,) = store.incidents.sightings(store.incidents.in_states()[0].id)
    assert set(sighting.seen_by) == {"guard", "scan-logs"}


def test_the_same_actors_other_trouble_close_in_time_joins(store: Store, clock: Clock) -> None:
    leak = finding("r1", kind="prompt-leak", severity=Severity.CRITICAL, rule="canary-in-response")
    report = store.report(Batch(findings=[finding("r1"), leak]), "scan-logs")
    (incident,) = store.incidents.in_states()
    assert (incident.kind, incident.severity) == ("prompt-leak", Severity.CRITICAL)
    assert report.opened[-1] == (incident.id, Severity.CRITICAL)
    clock.forward(700)
    store.report(Batch(findings=[finding("r9", kind="unauthorised-use")]), "scan-logs")
    assert len(store.incidents.in_states()) == 2


@pytest.mark.parametrize("state", [State.TRIAGED, State.CONTAINED])
def test_a_graver_finding_sends_an_answered_incident_back_to_triage(store: Store, state: State) -> None:
    store.report(Batch(findings=[finding("r1")]), "guard")
    (incident,) = store.incidents.in_states()
    store.incidents.move(incident.id, State.TRIAGED, "test")
    if state is State.CONTAINED:
        store.incidents.move(incident.id, State.RESPONDING, "test")
        store.incidents.move(incident.id, State.CONTAINED, "test")
    leak = finding("r1", kind="prompt-leak", severity=Severity.CRITICAL, rule="canary-in-response")
    report = store.report(Batch(findings=[leak]), "guard")
    assert store.incidents.get(incident.id).state is State.OPEN
    assert report.opened == [(incident.id, Severity.CRITICAL)]


def test_a_graver_finding_is_not_swallowed_by_an_answer_under_way(store: Store) -> None:
    store.report(Batch(findings=[finding("r1")]), "guard")
    (first,) = store.incidents.in_states()
    for state in (State.TRIAGED, State.RESPONDING):
        store.incidents.move(first.id, state, "test")
    store.report(Batch(findings=[finding("r2", severity=Severity.CRITICAL)]), "guard")
    second, still = store.incidents.in_states()
    assert (still.id, second.related_to, second.state) == (first.id, first.id, State.OPEN)


def test_a_record_of_another_source_with_the_same_id_is_another_finding(store: Store) -> None:
    report = store.report(Batch(findings=[finding("17"), finding("17", actor="eve")]), "scan-logs")
    assert (report.new, report.repeated) == (2, 0)


def test_a_storm_on_one_incident_is_counted_but_not_all_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firebreak.blocks.store.reporting.KEPT_FINDINGS", 5)
    store.report(Batch(findings=[finding(str(n)) for n in range(20)]), "scan-logs")
    leak = finding("leak", kind="prompt-leak", severity=Severity.CRITICAL)
    store.report(Batch(findings=[leak]), "scan-logs")
    (incident,) = store.incidents.in_states()
    sightings = store.incidents.sightings(incident.id)
    assert (incident.findings, len(sightings), sightings[0].finding.record_id) == (21, 6, "leak")


def test_closing_lifts_what_was_held_meanwhile(store: Store) -> None:
    incident_id = store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]
    store.incidents.move(incident_id, State.RESOLVED, "test")
    assert store.holds.all() == []


def test_a_closed_incident_is_never_joined(store: Store) -> None:
    store.report(Batch(findings=[finding("r1")]), "guard")
    (first,) = store.incidents.in_states()
    store.incidents.move(first.id, State.FALSE_POSITIVE, "test")
    store.report(Batch(findings=[finding("r2")]), "guard")
    (second,) = store.incidents.in_states()
    assert second.id != first.id


def test_containment_is_written_with_the_finding_and_hits_the_narrowest_actor(store: Store) -> None:
    report = store.report(Batch(findings=[finding("r1")], token_users={("support-key", "mallory")}), "scan-logs")
    assert [(h.kind, h.target) for h in report.contained] == [("quarantine-user", "mallory")]
    assert [h.kind for h in store.standing("answer-tickets", "mallory", "support-key")] == ["quarantine-user"]
    assert store.standing("answer-tickets", "ada", "support-key") == []
    assert store.incidents.in_states()[0].contained_at == store.now


@pytest.mark.parametrize(
    "harmless",
    [
        finding("r1", origin=Origin.DOCUMENT),
        finding("r1", trusted=False),
        finding("r1", severity=Severity.LOW, kind="anomaly", actor_type=ActorType.WORKFLOW, actor="answer-tickets"),
    ],
)
def test_nothing_is_held_for_what_anyone_could_have_caused(store: Store, harmless: object) -> None:
    report = store.report(Batch(findings=[harmless]), "scan-logs")  # type: ignore[list-item]
    assert (report.new, report.contained, store.holds.all()) == (1, [], [])


def test_one_vote_however_often_holds_nobody_and_a_second_kind_does(store: Store) -> None:
    for record in ("r1", "r2", "r3"):
        report = store.report(Batch(findings=[finding(record, votes=("patterns",))]), "scan-logs")
        assert report.contained == []
    (incident,) = store.incidents.in_states()
    assert (incident.contained_at, store.holds.all()) == (None, [])
    score = finding("r4", rule="prompt-injection-score", severity=Severity.MEDIUM, votes=("score",))
    (hold,) = store.report(Batch(findings=[score]), "guard").contained
    assert (hold.kind, hold.target, hold.incident_id) == ("quarantine-user", "mallory", incident.id)
    (entry,) = [e for e in store.incidents.timeline(incident.id) if e.entry == "quarantined"]
    assert entry.detail["votes"] == "patterns + score"


@pytest.mark.parametrize(
    "other",
    [
        finding("r2", votes=("score",), actor="eve"),
        finding("r2", votes=("score",), kind="prompt-leak"),
        finding("r2", votes=("score",), workflow="write-reports"),
        finding("r2", votes=("score",), origin=Origin.DOCUMENT),
        finding("r2", votes=("score",), trusted=False),
        finding("r2", votes=("score",), severity=Severity.LOW),
    ],
)
def test_a_vote_about_something_else_or_that_anyone_could_cause_does_not_count(store: Store, other: Finding) -> None:
    store.report(Batch(findings=[finding("r1", votes=("patterns",)), other]), "scan-logs")
    assert store.holds.all() == []


def test_a_certain_vote_needs_no_other(store: Store) -> None:
    assert len(store.report(Batch(findings=[finding("r1", votes=("certain",))]), "guard").contained) == 1


def test_votes_of_another_incident_are_not_counted(store: Store) -> None:
    first = store.report(Batch(findings=[finding("r1", votes=("patterns",))]), "guard").opened[0][0]
    store.incidents.move(first, State.FALSE_POSITIVE, "test")
    assert store.report(Batch(findings=[finding("r2", votes=("score",))]), "guard").contained == []


def test_a_vote_that_a_stored_finding_lacked_counts_when_it_is_seen_again(store: Store) -> None:
    store.report(Batch(findings=[finding("r1", votes=("patterns",))]), "guard")
    again = finding("r1", votes=("patterns", "model"))
    report = store.report(Batch(findings=[again]), "scan-logs")
    assert (report.new, report.repeated, [h.target for h in report.contained]) == (0, 1, ["mallory"])
    (sighting,) = store.incidents.sightings(store.incidents.in_states()[0].id)
    assert sighting.finding.votes == ("model", "patterns")


def test_a_vote_after_the_incident_was_closed_holds_nobody(store: Store) -> None:
    incident_id = store.report(Batch(findings=[finding("r1", votes=("patterns",))]), "guard").opened[0][0]
    store.incidents.move(incident_id, State.FALSE_POSITIVE, "test")
    report = store.report(Batch(findings=[finding("r1", votes=("patterns", "model"))]), "scan-logs")
    assert (report.repeated, report.contained, store.holds.all()) == (1, [], [])


def test_votes_count_beyond_the_findings_that_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firebreak.blocks.store.reporting.KEPT_FINDINGS", 2)
    many = [finding(str(n), votes=("patterns",)) for n in range(5)]
    store.report(Batch(findings=many), "scan-logs")
    assert len(store.report(Batch(findings=[finding("s", votes=("score",))]), "scan-logs").contained) == 1


def test_a_token_shared_by_two_users_is_not_held_until_a_day_has_passed(store: Store, clock: Clock) -> None:
    misuse = {"kind": "unauthorised-use", "actor_type": ActorType.TOKEN, "actor": "t", "token_id": "t", "origin": None}
    store.report(Batch(token_users={("t", "ada"), ("t", "bob")}), "scan-logs")
    assert store.report(Batch(findings=[finding("r1", **misuse)]), "scan-logs").contained == []  # type: ignore[arg-type]
    clock.forward(25 * 3600)
    store.report(Batch(token_users={("t", "ada")}), "scan-logs")
    report = store.report(Batch(findings=[finding("r2", **misuse)]), "scan-logs")  # type: ignore[arg-type]
    assert [(h.kind, h.target) for h in report.contained] == [("quarantine-token", "t")]


def test_position_and_findings_are_written_together_or_not_at_all(store: Store) -> None:
    with store.lease("scan:x", "me") as lease:
        assert lease
        store.report(Batch(source="x", position={"at": 1}, lease=("scan:x", "me")), "scan-logs")
    lost = Batch(findings=[finding("r1")], source="x", position={"at": 2}, lease=("scan:x", "me"))
    with pytest.raises(LeaseLost):
        store.report(lost, "scan-logs")
    assert store.position("x") == {"at": 1}
    assert store.incidents.in_states() == []


def test_malformed_lines_are_kept_aside_up_to_a_limit_and_always_counted(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firebreak.blocks.store.reporting.KEPT_ASIDE", 3)
    for start in (0, 2, 4):
        aside = [Aside(offset=start + n, length=9, reason="not JSON", excerpt=b"\xff\x00{") for n in range(2)]
        store.report(Batch(source="x", position={"at": start}, set_aside=aside), "scan-logs")
    assert store.registers.set_aside("x") == 6
    with connect(store_url).connect() as conn:
        kept = conn.execute(sa.select(set_aside).order_by(set_aside.c.id)).all()
    assert [(row.offset, row.excerpt) for row in kept] == [(n, "\\xff\\x00{") for n in range(3)]


def test_many_writers_at_once_lose_nothing_and_open_one_incident(store: Store) -> None:
    def write(writer: int) -> int:
        return sum(store.report(Batch(findings=[finding(f"{writer}-{n}")]), "guard").new for n in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 80
    (incident,) = store.incidents.in_states()
    assert incident.findings == 80
