"""The environments of programs beside ours: where one can't be made, that is said, and not tried again at once."""

import sys
import time
from pathlib import Path

import pytest

from tests import environments
from tests.environments import MLFLOW


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "BUILD", tmp_path / "build")
    return tmp_path


def stub(place: Path, body: str) -> str:
    program = place / "python"
    program.write_text(f"#!{sys.executable}\nfrom pathlib import Path\nimport sys, time\n{body}\n")
    program.chmod(0o700)
    return str(program)


def test_a_failure_is_told_and_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = f"Path({str(place / 'tries')!r}).open('a').write('x')\nsys.exit('no disk left')"
    monkeypatch.setattr(sys, "executable", stub(place, body))
    for _ in range(2):
        assert MLFLOW.install(60) == "mlflow==3.17.* can't be installed: no disk left\n"
    assert (place / "tries").read_text() == "x"
    later = time.time() + 3700
    monkeypatch.setattr(time, "time", lambda: later)
    MLFLOW.install(60)
    assert (place / "tries").read_text() == "xx"


def test_what_takes_too_long_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", stub(place, "time.sleep(60)"))
    assert str(MLFLOW.install(0)).endswith("took more than 1 s")


def test_what_is_there_is_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MLFLOW.folder.mkdir(parents=True)
    MLFLOW.stamp.write_text(" ".join(MLFLOW.wanted))
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert MLFLOW.install(60) is None
