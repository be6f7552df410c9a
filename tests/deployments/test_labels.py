"""The command that writes labelled texts down, and deletes a user's."""

import json
import stat
from pathlib import Path

import pytest

from firebreak.blocks.store import Accused, Batch, State, Store
from firebreak.deployments import labels
from firebreak.detectors.injection.training_data import read_folder
from firebreak.detectors.records import Origin
from tests.stores import finding


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setattr(labels, "open_store", lambda: store)
    for verdict, user, text in (
        (State.FALSE_POSITIVE, "ada", "a quotation\n\u202e😀"),
        (State.RESOLVED, "eve", 'an "attack"'),
    ):
        incident_id = store.report(Batch(findings=[finding(user, actor=user)]), "guard").opened[0][0]
        store.incidents.move(incident_id, verdict, "kim")
        told = Accused(text=text, workflow="answer-tickets", user=user, record_id=user, origin=Origin.USER)
        store.labels.add(incident_id, verdict, [told], "kim")
    return store


def test_the_trainer_reads_what_is_exported_and_nobody_else_can(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labels.jsonl"
    assert labels.main(["export", str(file)]) == 0
    assert "2 labelled text(s)" in capsys.readouterr().out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = {(one.text, one.attack, one.source, one.kind) for one in read_folder(tmp_path)}
    assert found == {
        ("a quotation\n\u202e😀", False, "verdicts", "false-alarm"),
        ('an "attack"', True, "verdicts", "attack"),
    }
    first = json.loads(file.read_text().splitlines()[0])
    assert (first["group"], first["labelled_by"]) == ("incident-1", "kim")


def test_nothing_is_overwritten_not_even_through_a_link(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link.jsonl"
    precious.write_text("mine")
    link.symlink_to(precious)
    for file in (precious, link, tmp_path / "missing" / "labels.jsonl"):
        assert labels.main(["export", str(file)]) == 2
        assert "name a new file" in capsys.readouterr().err
    assert precious.read_text() == "mine"


def test_a_user_is_forgotten(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert labels.main(["forget", "ada"]) == 0
    assert capsys.readouterr().out.startswith("1 text(s) of ada deleted")
    assert [label.user for label in store.labels.all()] == ["eve"]
