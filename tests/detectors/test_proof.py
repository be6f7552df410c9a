"""Rules prove themselves at start-up: what is blind, or sees what it must not, is refused by name."""

import shutil
from pathlib import Path

import pytest

from firebreak.detectors.facts import Facts
from firebreak.detectors.proof import load_proven, prove
from firebreak.detectors.records import Record
from firebreak.detectors.rules import SHIPPED, Examined, RuleError, RuleSet, load_rules


def test_the_shipped_rules_are_proven_each_on_both_sides() -> None:
    rules = load_rules()
    prove(rules)
    assert all({case.match for case in rule.cases} == {True, False} for rule in rules.everything)


def test_an_engine_that_went_blind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = load_rules()
    monkeypatch.setattr(RuleSet, "examine", lambda rules, record, facts: Examined([], ()))
    with pytest.raises(RuleError, match=r"rule anomaly-marker: case '.+': doesn't match, but should"):
        prove(rules)


def test_a_field_that_fails_is_named_with_its_rule_and_case(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = load_rules()

    def broken(rules: RuleSet, record: Record, facts: Facts) -> Examined:
        raise OverflowError("no room")

    monkeypatch.setattr(RuleSet, "examine", broken)
    with pytest.raises(RuleError, match=r"rule anomaly-marker: case '.+': fails with OverflowError: no room"):
        prove(rules)


def test_a_rule_of_your_own_that_misses_its_own_case_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "our_marker.yml"
    shutil.copy(SHIPPED / "anomaly_marker.yml", file)
    text = file.read_text().replace("name: anomaly-marker", "name: our-marker")
    text = text.replace("777ea704-baa0-4dad-aadd-a63e3a55f869", "777ea704-baa0-4dad-aadd-a63e3a55f860")
    file.write_text(text)
    assert load_proven(own=tmp_path)
    file.write_text(text.replace("Is this an anomaly?", "Is this an [ANOMALY]?"))
    with pytest.raises(RuleError, match=r"rule our-marker: case 'the word alone': matches, but should not"):
        load_proven(own=tmp_path)
    file.write_text(text.replace("'[ANOMALY]'", "'[ANOMALIES]'"))
    with pytest.raises(RuleError, match=r"rule our-marker: case 'in a prompt': doesn't match, but should"):
        load_proven(own=tmp_path)
    assert load_rules(own=tmp_path)  # it loads; only the proof sees it
