"""Labels: written by a verdict, gone with it; and the thresholds that they lead to."""

import pytest
import sqlalchemy as sa

from firebreak.blocks.store import Accused, Batch, IllegalTransition, IncidentMoved, State, Store, UnknownIncident
from firebreak.blocks.store import labels as module
from firebreak.blocks.store.labels import LONGEST
from firebreak.blocks.store.schema import incidents
from firebreak.detectors.records import Origin
from tests.stores import Clock, finding


def text(words: str, user: str | None = "ada", record: str = "r1") -> Accused:
    return Accused(text=words, workflow="answer-tickets", user=user, record_id=record, origin=Origin.USER)


def closed(store: Store, verdict: State, record: str = "r1", actor: str = "ada") -> int:
    incident_id = store.report(Batch(findings=[finding(record, actor=actor)]), "guard").opened[0][0]
    store.incidents.move(incident_id, verdict, "ada")
    return incident_id


def test_a_false_positives_texts_are_harmless_and_a_resolved_ones_attacks(store: Store, clock: Clock) -> None:
    wrong, right = closed(store, State.FALSE_POSITIVE), closed(store, State.RESOLVED, "r2", "eve")
    assert store.labels.add(wrong, State.FALSE_POSITIVE, [text("a quotation")], "ada") == 1
    clock.forward(1)
    assert store.labels.add(right, State.RESOLVED, [text("an attack", "eve", "r2")], "grace") == 1
    found = [(label.text, label.label, label.incident_id, label.labelled_by) for label in store.labels.all()]
    assert found == [("a quotation", 0, wrong, "ada"), ("an attack", 1, right, "grace")]
    assert store.labels.all()[0].labelled_at < clock.now
    entry = store.incidents.timeline(wrong)[-1]
    assert (entry.entry, entry.by, entry.detail) == ("labelled", "ada", {"label": 0, "texts": 1})


@pytest.mark.parametrize("state", [State.OPEN, State.TRIAGED, State.RESOLVED])
def test_only_the_incidents_own_verdict_labels(store: Store, state: State) -> None:
    incident_id = store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]
    if state is not State.OPEN:
        store.incidents.move(incident_id, state, "test")
    with pytest.raises(IncidentMoved, match=f"is {state}"):
        store.labels.add(incident_id, State.FALSE_POSITIVE, [text("x")], "ada")
    with pytest.raises(UnknownIncident):
        store.labels.add(999, State.FALSE_POSITIVE, [text("x")], "ada")
    assert store.labels.all() == []


@pytest.mark.parametrize(
    ("before", "after"), [(State.FALSE_POSITIVE, State.RESOLVED), (State.RESOLVED, State.FALSE_POSITIVE)]
)
def test_a_corrected_verdict_forgets_what_the_former_one_taught(store: Store, before: State, after: State) -> None:
    incident_id = closed(store, before)
    store.labels.add(incident_id, before, [text("x")], "ada")
    store.incidents.correct(incident_id, after, "grace")
    assert store.labels.all() == []
    assert store.incidents.get(incident_id).state is after
    assert store.excluded("answer-tickets").record_ids == ({"r1"} if after is State.RESOLVED else frozenset())
    entry = store.incidents.timeline(incident_id)[-1]
    assert (entry.entry, entry.by, entry.detail) == (after, "grace", {"from": before, "corrected": True})
    store.labels.add(incident_id, after, [text("x")], "grace")
    store.incidents.correct(incident_id, after, "grace")  # the same verdict again takes nothing back
    assert len(store.labels.all()) == 1


def test_only_a_closed_incidents_verdict_is_corrected(store: Store) -> None:
    open_one = store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]
    with pytest.raises(IllegalTransition, match="only a closed one"):
        store.incidents.correct(open_one, State.RESOLVED, "ada")
    store.incidents.move(open_one, State.RESOLVED, "ada")
    with pytest.raises(IllegalTransition):
        store.incidents.correct(open_one, State.OPEN, "ada")
    with pytest.raises(UnknownIncident):
        store.incidents.correct(999, State.RESOLVED, "ada")


def test_a_text_is_kept_once_and_one_with_two_verdicts_teaches_nothing(store: Store) -> None:
    one, two = closed(store, State.FALSE_POSITIVE), closed(store, State.FALSE_POSITIVE, "r2", "eve")
    three = closed(store, State.RESOLVED, "r3", "kim")
    assert store.labels.add(one, State.FALSE_POSITIVE, [text("x"), text("x"), text("y")], "ada") == 2
    assert store.labels.add(one, State.FALSE_POSITIVE, [text("x")], "ada") == 0
    store.labels.add(two, State.FALSE_POSITIVE, [text("x", "eve", "r2")], "ada")
    assert sorted(label.text for label in store.labels.all()) == ["x", "y"]
    store.labels.add(three, State.RESOLVED, [text("x", "kim", "r3")], "ada")
    assert [label.text for label in store.labels.all()] == ["y"]


def test_what_no_label_can_hold_is_left_out_and_odd_characters_are_stored(store: Store) -> None:
    incident_id = closed(store, State.FALSE_POSITIVE)
    texts = [text("x" * (LONGEST + 1)), text(" \n"), text("a\0b\u202e😀")]
    assert store.labels.add(incident_id, State.FALSE_POSITIVE, texts, "ada") == 1
    assert [label.text for label in store.labels.all()] == ["a b\u202e😀"]


def test_a_users_texts_can_be_forgotten_and_go_with_their_incident(store: Store) -> None:
    mine, other = closed(store, State.FALSE_POSITIVE), closed(store, State.FALSE_POSITIVE, "r2", "eve")
    store.labels.add(mine, State.FALSE_POSITIVE, [text("x"), text("y")], "ada")
    store.labels.add(other, State.FALSE_POSITIVE, [text("z", "eve", "r2")], "ada")
    assert store.labels.forget("ada") == 2
    assert [label.text for label in store.labels.all()] == ["z"]
    with store._db.write() as conn:
        conn.execute(sa.delete(incidents).where(incidents.c.id == other))
    assert store.labels.all() == []


def test_the_oldest_labels_go(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    incident_id = closed(store, State.FALSE_POSITIVE)
    for words in "abc":
        clock.forward(1)
        store.labels.add(incident_id, State.FALSE_POSITIVE, [text(words)], "ada")
    assert [label.text for label in store.labels.all()] == ["b", "c"]


def test_the_newest_threshold_of_a_score_is_a_fact_and_the_former_ones_are_kept(store: Store, clock: Clock) -> None:
    assert store.facts().thresholds == {}
    store.registers.put_threshold("injection_score", 0.7, {"why": "first"}, "ada")
    store.registers.put_threshold("other_score", 0.1, {}, "ada")
    store.registers.put_threshold("injection_score", 0.6, {"why": "second"}, "grace")
    assert store.facts().thresholds == {"injection_score": 0.6, "other_score": 0.1}
    first, second = store.registers.thresholds("injection_score")
    assert (first.value, first.by, first.body) == (0.7, "ada", {"why": "first"})
    assert (second.value, second.by, second.at) == (0.6, "grace", clock.now)
