"""What calibrate takes as harmless: what nobody accuses, each prompt once, in constant memory."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Accused, Batch, State, Store
from firebreak.blocks.store.holds import HoldKind
from firebreak.detectors.records import Origin, Record, join_parts
from firebreak.flows.calibration_data import Collected, Sample, collect, sender_of
from tests.stores import START, finding


def score(text: str) -> float:
    """The text begins with its score."""
    try:
        return float(text.split()[0])
    except ValueError:
        return 0.5


@pytest.fixture
def log(tmp_path: Path) -> InteractionLog:
    return InteractionLog(path=tmp_path / "calls.log")


def logged(log: InteractionLog, name: str, prompt: str, **fields: Any) -> None:
    log.append(
        Record(**{"id": name, "time": START, "workflow": "answer-tickets", "user": "ada", **fields}, prompt=prompt)
    )


def collected(store: Store, log: InteractionLog, days: int = 30, **more: Any) -> Collected:
    return collect(store, log, days, score, lambda _: None, **more)


def texts(found: Collected) -> list[str]:
    return sorted(prompt.text for prompt in found.prompts)


def test_harmless_is_what_no_incident_accuses(store: Store, log: InteractionLog) -> None:
    for name, user in (("plain", "ada"), ("open", "eve"), ("confirmed", "eve"), ("wrong", "kim"), ("other", "mallory")):
        logged(log, name, f"0.1 {name}", user=user)
    logged(log, "old", "0.1 old", time=START - timedelta(days=31))
    logged(log, "empty", " ")
    accused = [finding(name, actor=f"a-{name}") for name in ("open", "confirmed", "wrong")]
    opened = store.report(Batch(findings=accused), "scan-logs").opened
    store.incidents.move(opened[1][0], State.RESOLVED, "ada")
    store.incidents.move(opened[2][0], State.FALSE_POSITIVE, "ada")
    kind: HoldKind = "quarantine-user"
    store.holds.add(kind, "mallory", "answer-tickets", opened[0][0], "held by hand")
    found = collected(store, log)
    assert texts(found) == ["0.1 plain", "0.1 wrong"]
    assert found.read == 7
    assert found.left_out == {
        "accused by an incident": 2,
        "of a user or token that was held": 1,
        "older": 1,
        "without a prompt": 1,
        "unreadable": 0,
    }


def test_a_record_without_an_id_of_its_own_stays_accused_after_rotation(store: Store, log: InteractionLog) -> None:
    """Its id is made of its place, which the scan has numbered."""
    line = b'{"time": "2026-05-01T12:00:00Z", "workflow": "answer-tickets", "user": "eve", "prompt": "0.9 attack"}\n'
    log.path.write_bytes(b"\n" + line)
    first = log.read()
    os.rename(log.path, log.path.with_name("calls.log.2"))
    log.path.write_bytes(line.replace(b"attack", b"second"))
    position = log.read(log.read(first.position).position).position  # what the scan has read and numbered
    source, parser = log.source, log.parser()
    record = parser.parse(first.lines[-1].data, f"{source}:{first.lines[-1].where}")
    assert record
    store.report(
        Batch(findings=[finding(record.id)], source=source, position=position.model_dump(mode="json")), "scan-logs"
    )
    newer = log.path.with_name("calls.log.3")  # a still older file that the scan never saw shifts a fresh numbering
    newer.write_bytes(line.replace(b"attack", b"before"))
    assert texts(collected(store, log)) == ["0.9 before", "0.9 second"]


def test_lines_that_anyone_can_forge_are_not_harmless(store: Store, tmp_path: Path) -> None:
    plain = InteractionLog(path=tmp_path / "plain.log", format="auto")
    plain.path.write_text('{"time": "2026-05-01T12:00:00Z", "prompt": "0.9 forged"}\nnot a record\n')
    found = collected(store, plain)
    assert found.prompts == []
    assert found.left_out["of a log whose lines anyone can forge"] == 1


def test_a_prompt_counts_once_a_sender_and_scores_as_its_worst_part(store: Store, log: InteractionLog) -> None:
    for n in range(5):
        logged(log, f"same-{n}", "0.1 again")
    logged(log, "eve", "0.1 again", user="eve")
    prompt, parts = join_parts([(Origin.USER, "0.2 sum this up"), (Origin.DOCUMENT, "0.7 a page")])
    logged(log, "parts", prompt, parts=parts, user=None, token_id=None)
    found = collected(store, log)
    assert sorted((prompt.score, prompt.sender) for prompt in found.prompts) == [
        (0.1, "user ada"),
        (0.1, "user eve"),
        (0.7, "workflow answer-tickets"),
    ]
    assert sender_of(Record(id="t", time=START, workflow="w", token_id="key")) == "token key"


def test_labels_join_in_once_and_attacks_are_scored_apart(store: Store, log: InteractionLog) -> None:
    logged(log, "here", "0.3 still in the log")

    def label(verdict: State, record: str, words: str) -> None:
        (opened,) = store.report(Batch(findings=[finding(record, actor=record)]), "scan-logs").opened
        store.incidents.move(opened[0], verdict, "ada")
        told = Accused(text=words, workflow="answer-tickets", user="ada", record_id=record, origin=Origin.USER)
        store.labels.add(opened[0], verdict, [told], "ada")

    label(State.FALSE_POSITIVE, "here", "0.3 still in the log")
    label(State.FALSE_POSITIVE, "gone", "0.4 rotated away")
    label(State.RESOLVED, "attack", "0.9 attack")
    found = collected(store, log)
    assert texts(found) == ["0.3 still in the log", "0.4 rotated away"]
    assert found.verdicts == [0.9]
    assert len(found.examples) > 5


def test_the_sample_is_bounded_and_even(store: Store, log: InteractionLog) -> None:
    for n in range(300):
        logged(log, f"r{n}", f"0.{n % 10} text {n // 2}")
    found = collected(store, log, sample=50)
    assert len(found.prompts) == 50
    drawn = [0] * 10
    for _ in range(200):
        sample = Sample(2)
        for n in range(10):
            if (place := sample.place("ada", str(n))) is not None:
                sample.keep(place, found.prompts[n])
            assert sample.place("ada", str(n)) is None
        for prompt in sample.prompts:
            drawn[found.prompts.index(prompt)] += 1
    assert sum(drawn) == 400
    assert min(drawn) > 10


def test_progress_reaches_the_end(store: Store, log: InteractionLog) -> None:
    told: list[float] = []
    logged(log, "r1", "0.1 a")
    collect(store, log, 30, score, told.append)
    assert told[-1] == 100
