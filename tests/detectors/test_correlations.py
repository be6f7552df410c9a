"""Correlations over records: groups, windows, what is forgotten, and going on from what was kept."""

import json
import random
from datetime import timedelta
from itertools import pairwise
from timeit import timeit
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors import correlations
from firebreak.detectors.correlations import Correlator, Row
from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.records import Record
from tests.detectors.correlating import START, base_rule, call, correlation, rules_of, run

MANY = rules_of(base_rule(), correlation())
VALUES = rules_of(
    base_rule(), correlation(type="value_count", condition={"gte": 3, "field": "source_address"}), correlation("other")
)


def test_the_finding_says_who_how_many_and_when() -> None:
    [found] = run(MANY, [call(n, n * 10) for n in range(3)])
    assert (found.rule, found.kind, found.severity, found.votes) == ("many", "test", Severity.HIGH, ("patterns",))
    assert (found.actor_type, found.actor, found.record_id) == (ActorType.TOKEN, "key", "2")
    assert (found.workflow, found.trusted, found.attributed) == ("answer-tickets", True, False)
    assert [(e.field, e.excerpt) for e in found.evidence] == [("token_id", "key")]
    assert found.detail["counted"] == 3
    assert found.detail["records"] == ["0", "1", "2"]
    assert found.detail["first"] == START.isoformat()


def test_a_base_rule_raises_nothing_unless_it_is_to_generate() -> None:
    record = call(1, 0)
    assert MANY.examine(record, Facts()).findings == []
    assert MANY.examine(record, Facts()).counted == ("denied",)
    generating = rules_of(base_rule(), correlation(generate=True))
    assert [f.rule for f in generating.examine(record, Facts()).findings] == ["denied"]
    assert generating.examine(record, Facts()).counted == ()
    both = rules_of(base_rule(), correlation(generate=True), correlation("quiet"))
    assert [f.rule for f in both.examine(record, Facts()).findings] == ["denied"]
    assert both.examine(record, Facts()).counted == ("denied",)


def test_what_matches_no_base_rule_is_not_counted() -> None:
    assert run(MANY, [call(n, n, status=200) for n in range(10)]) == []


def test_groups_are_counted_apart_and_nobody_is_no_group() -> None:
    assert run(MANY, [call(n, n, token_id=f"key-{n % 2}") for n in range(4)]) == []
    assert run(MANY, [call(n, n, token_id=None) for n in range(10)]) == []
    assert {f.actor for f in run(MANY, [call(n, n, token_id=f"key-{n % 2}") for n in range(6)])} == {"key-0", "key-1"}


def test_without_group_by_all_is_one_group() -> None:
    rules = rules_of(base_rule(), correlation(actor="workflow", group_by=None))
    [found] = run(rules, [call(n, n, token_id=f"key-{n}") for n in range(3)])
    assert (found.actor_type, found.actor) == (ActorType.WORKFLOW, "answer-tickets")


def test_a_record_that_two_base_rules_match_counts_once() -> None:
    rules = rules_of(base_rule(), base_rule("failed", **{"status|gte": 400}), correlation(rules=["denied", "failed"]))
    assert run(rules, [call(1, 0), call(2, 1)]) == []


def test_a_burst_that_goes_on_is_one_finding_a_window() -> None:
    found = run(MANY, [call(n, n) for n in range(150)])
    assert [f.record_id for f in found] == ["2", "62", "122"]
    assert all(later.time - earlier.time == timedelta(seconds=60) for earlier, later in pairwise(found))


def test_the_same_record_read_again_counts_once_and_finds_the_same() -> None:
    correlator = Correlator(MANY.over_records)
    records = [call(n, n) for n in range(3)]
    first = run(MANY, [records[0], *records], correlator)
    assert len(first) == 1
    assert run(MANY, records, correlator) == []
    assert [f.key for f in run(MANY, records)] == [f.key for f in first]


def test_what_anyone_could_have_forged_is_counted_apart_and_low() -> None:
    forged = [call(n, n, trusted=False) for n in range(2)]
    assert run(MANY, [*forged, call(9, 3)]) == []
    [found] = run(MANY, [*forged, call(9, 3), call(2, 4, trusted=False)])
    assert (found.severity, found.trusted) == (Severity.LOW, False)


def test_different_values_are_counted_and_shown() -> None:
    addresses = ["203.0.113.7", "203.0.113.7", "203.0.113.8", None, "203.0.113.9"]
    found = run(VALUES, [call(n, n, source_address=a) for n, a in enumerate(addresses)])
    [values] = [f for f in found if f.rule == "many"]
    assert values.detail["values"] == ["203.0.113.7", "203.0.113.8", "203.0.113.9"]
    assert ("source_address", "203.0.113.7, 203.0.113.8, 203.0.113.9") in [
        (e.field, e.excerpt) for e in values.evidence
    ]


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [({"gt": 2}, {3, 4}), ({"gte": 2}, {2, 3, 4}), ({"lt": 2}, {1}), ({"lte": 2}, {1, 2}), ({"eq": 3}, {3})],
)
@pytest.mark.parametrize("of", ["records", "values"])
def test_conditions(condition: dict[str, object], numbers: set[int], of: str) -> None:
    keys: dict[str, Any] = (
        {"type": "value_count", "condition": {**condition, "field": "user"}} if of == "values" else {}
    )
    rules = rules_of(base_rule(), correlation("many", "token", **{"condition": condition, **keys}))
    found = set()
    for number in range(1, 5):
        records = [call(n, n, user=f"u{n}") for n in range(number)]
        later = call("later", 100, token_id="other")  # by then the window is over
        if [f for f in run(rules, [*records, later]) if f.actor == "key"]:
            found.add(number)
    assert found == numbers


def test_a_window_that_is_over_is_told_by_its_own_last_record() -> None:
    rules = rules_of(base_rule(), correlation(condition={"lt": 3}))
    correlator = Correlator(rules.over_records)
    assert run(rules, [call(1, 0), call(2, 5)], correlator) == []
    kept = Correlator(rules.over_records, correlator.state())
    [found] = run(rules, [call(3, 61)], kept)
    assert (found.record_id, found.time, found.detail["counted"]) == ("2", call(2, 5).time, 2)


many_records = st.lists(
    st.builds(
        call,
        st.integers(0, 30),
        st.integers(0, 300),
        token_id=st.sampled_from(["a", "b", None]),
        source_address=st.sampled_from(["203.0.113.1", "203.0.113.2", "203.0.113.3", None]),
    ),
    max_size=40,
)


@given(many_records, st.integers(0, 40))
def test_it_goes_on_from_what_was_kept(records: list[Record], cut: int) -> None:
    """Also where only the changed groups were written, and through JSON."""
    kept: dict[tuple[str, str], Row] = {}
    found = []
    for chunk in (records[:cut], records[cut:]):
        correlator = Correlator(VALUES.over_records, kept.values(), "a log")
        found += run(VALUES, chunk, correlator)
        for row in correlator.changed().rows:
            kept[(row.rule, row.group_key)] = Row(row.rule, row.group_key, json.loads(json.dumps(row.body)))
        assert correlator.changed().rows == []
    assert [f.key for f in found] == [f.key for f in run(VALUES, records)]


@given(many_records, st.randoms())
def test_records_up_to_a_window_late_are_counted_as_if_in_time(records: list[Record], order: random.Random) -> None:
    unique = list({(r.id, r.time): r for r in records}.values())
    late = sorted(unique, key=lambda r: r.time.timestamp() + order.uniform(0, 59))
    in_time = sorted(unique, key=lambda r: r.time)
    assert {(f.rule, f.actor) for f in run(VALUES, late)} == {(f.rule, f.actor) for f in run(VALUES, in_time)}


def test_groups_are_bounded_and_those_fed_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlations, "MOST_GROUPS", 3)
    correlator = Correlator(MANY.over_records)
    run(MANY, [call(n, n, token_id=f"key-{n}") for n in range(5)], correlator)
    assert correlator.forgotten == 2
    changes = correlator.changed()
    assert (len(changes.rows), len(changes.gone)) == (3, 2)
    assert not {(r.rule, r.group_key) for r in changes.rows} & set(changes.gone)


def test_counts_of_another_meaning_are_not_gone_on_with() -> None:
    correlator = Correlator(MANY.over_records)
    run(MANY, [call(1, 1), call(2, 2)], correlator)
    changed = rules_of(base_rule(), correlation(timespan="2m"))
    assert Correlator(changed.over_records, correlator.state()).state() == []
    assert Correlator((), correlator.state()).state() == []


def test_two_logs_do_not_write_to_one_anothers_groups() -> None:
    keys = set()
    for log in ("one", "two"):
        correlator = Correlator(MANY.over_records, (), log)
        run(MANY, [call(1, 1)], correlator)
        keys |= {row.group_key for row in correlator.changed().rows}
    assert len(keys) == 2


def test_a_hit_costs_microseconds_and_no_hit_next_to_nothing() -> None:
    correlator = Correlator(VALUES.over_records)
    one = call(1, 1, source_address="203.0.113.1")
    correlator.feed(one, ("denied",))
    records = [call(n, n * 20, source_address="203.0.113.1") for n in range(1000)]
    hits = timeit(lambda: [correlator.feed(record, ("denied",)) for record in records], number=1) / 1000
    none = timeit(lambda: correlator.feed(one, ()), number=1000) / 1000
    assert hits < 200e-6
    assert none < 20e-6
