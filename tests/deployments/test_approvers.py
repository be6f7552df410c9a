"""Enrolling as a command, and who gets the key of the seeds."""

import os
import re
import stat
from pathlib import Path

import pyotp
import pytest

from firebreak.blocks.store import Store
from firebreak.blocks.store.approvers import KEY_VARIABLE
from firebreak.deployments import approvers
from firebreak.deployments.environment import scrubbed
from firebreak.deployments.home import Home


def test_a_person_is_enrolled_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path)]
    assert approvers.main(["enrol", "Ada Lovelace", *home]) == 0
    shown = capsys.readouterr().out
    found = re.search(r"type its key there: ([A-Z2-7]{32})$", shown, re.MULTILINE)
    assert found
    assert len(pyotp.TOTP(found[1]).now()) == 6
    assert "█" in shown
    assert approvers.main(["list", *home]) == 0
    assert approvers.main(["revoke", "ada lovelace", *home]) == 0
    assert approvers.main(["revoke", "ada lovelace", *home]) == 2
    said = capsys.readouterr()
    assert found[1] not in said.out
    assert said.out.startswith("Ada Lovelace: enrolled ")
    assert "nobody of the name ada lovelace is enrolled" in said.err
    store = Store(f"sqlite:///{Home.at(tmp_path).store}")
    assert store.approvers.all()[0].revoked_at


def test_a_directory_without_a_system_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert approvers.main(["enrol", "Ada", "--home", str(tmp_path / "none")]) == 2
    assert "there is no system there" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_store_elsewhere_takes_the_key_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    assert approvers.main(["enrol", "Ada", "--store-url", url]) == 2
    assert f"{KEY_VARIABLE} is not in the environment" in capsys.readouterr().err
    key = Home.at(tmp_path / "home").approver_key()
    monkeypatch.setenv(KEY_VARIABLE, key)
    assert approvers.main(["enrol", "Ada", "--store-url", url]) == 0
    assert Store(url).approvers.obstacle(key) is None


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = Home.at(tmp_path).approver_key()
    finally:
        os.umask(before)
    assert Home.at(tmp_path).approver_key() == key
    assert stat.S_IMODE((tmp_path / "approver-key").stat().st_mode) == 0o600


def test_no_program_inherits_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-key")
    assert KEY_VARIABLE not in scrubbed()
