"""The environment of the tests' MLflow server: where it can't be made, that is said, and not tried again at once."""

import sys
import time
from pathlib import Path

import pytest

pytest_plugins = ["tests.mlflow_server"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from tests import mlflow_server

    monkeypatch.setattr(mlflow_server, "ENVIRONMENT", tmp_path / "build" / "env")
    monkeypatch.setattr(mlflow_server, "STAMP", tmp_path / "build" / "env" / ".installed")
    monkeypatch.setattr(mlflow_server, "FAILED", tmp_path / "build" / "env.failed")
    return tmp_path


def stub(place: Path, body: str) -> str:
    program = place / "python"
    program.write_text(f"#!{sys.executable}\nfrom pathlib import Path\nimport sys, time\n{body}\n")
    program.chmod(0o700)
    return str(program)


def test_a_failure_is_told_and_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.mlflow_server import install

    body = f"Path({str(place / 'tries')!r}).open('a').write('x')\nsys.exit('no disk left')"
    monkeypatch.setattr(sys, "executable", stub(place, body))
    for _ in range(2):
        assert install(60) == "mlflow==3.17.* can't be installed: no disk left\n"
    assert (place / "tries").read_text() == "x"
    later = time.time() + 3700
    monkeypatch.setattr(time, "time", lambda: later)
    install(60)
    assert (place / "tries").read_text() == "xx"


def test_what_takes_too_long_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.mlflow_server import install

    monkeypatch.setattr(sys, "executable", stub(place, "time.sleep(60)"))
    assert str(install(0)).endswith("took more than 1 s")


def test_what_is_there_is_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import mlflow_server

    (place / "build" / "env").mkdir(parents=True)
    mlflow_server.STAMP.write_text(mlflow_server.WANTED)
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert mlflow_server.install(60) is None
