"""The registry on a SQLite file and on a real MLflow server: versions, files, the champion, and what goes wrong."""

import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from firebreak.blocks.model_registry import REPLACED, RETRAINING, ModelRegistry
from firebreak.blocks.registry_errors import (
    RegistryChanged,
    RegistryError,
    RegistryMisconfigured,
    RegistryUnreachable,
    UnknownVersion,
)
from firebreak.deployments.ports import free_port
from firebreak.flows.router import built_in, predict, read_tickets
from tests.blocks.registries import register, registry_at

pytest_plugins = ["tests.mlflow_server"]
PASSWORD = "very-secret-0123456789"


@pytest.fixture
def registry(tracking_uri: str) -> ModelRegistry:
    return registry_at(tracking_uri)


def test_a_registered_model_comes_back_whole_and_predicts_the_same(
    registry: ModelRegistry, capfd: pytest.CaptureFixture[str]
) -> None:
    made = registry.register(
        built_in(),
        parameters={"C": 10, "ngram_range": (1, 2)},
        metrics={"accuracy": 0.975, "recall.billing": 1},
        tags={RETRAINING: "7", "firebreak.data": "9f2c"},
        report="<html>the report</html>",
    )
    assert (made.name, made.number) == (registry.model, "1")
    assert made.tags == {RETRAINING: "7", "firebreak.data": "9f2c"}
    assert made.metrics == {"accuracy": 0.975, "recall.billing": 1.0}
    texts, _ = read_tickets()
    assert predict(registry.load_model(made), texts) == predict(built_in(), texts)
    run = registry._client.get_run(str(registry._raw("1").run_id))
    assert run.data.params == {"C": "10", "ngram_range": "(1, 2)"}
    files = {file.path for file in registry._client.list_artifacts(run.info.run_id)}
    assert files == {"model.skops", "report.html"}
    assert registry._client.get_experiment(run.info.experiment_id).name == f"firebreak-{registry.model}"
    assert capfd.readouterr() == ("", "")


def test_before_anything_is_registered_there_is_nothing(registry: ModelRegistry) -> None:
    assert registry.champion() is None
    assert registry.versions() == []
    assert registry.find(RETRAINING, "1") is None
    for number in ("1", "latest", "-1", ""):
        with pytest.raises(UnknownVersion, match="version"):
            registry.get(number)
    with pytest.raises(UnknownVersion):
        registry.set_champion("1", None)


def test_a_retraining_registers_once(registry: ModelRegistry) -> None:
    register(registry)
    numbers = register(registry, 2, **{RETRAINING: "it's 4"})
    assert numbers == ["2", "2"]
    found = registry.find(RETRAINING, "it's 4")
    assert found
    assert found.number == "2"
    assert registry.find(RETRAINING, "5") is None
    assert [version.number for version in registry.versions()] == ["1", "2"]


def test_the_champion_moves_only_from_where_it_is_expected(registry: ModelRegistry) -> None:
    register(registry, 2)
    registry.set_champion("1", None)
    registry.set_champion("2", "1")
    for expected in ("1", None):
        with pytest.raises(RegistryChanged, match=rf"is version 2, not {expected}: so it wasn't moved to 1"):
            registry.set_champion("1", expected)
    with pytest.raises(UnknownVersion, match="version 9"):
        registry.set_champion("9", "2")
    champion = registry.champion()
    assert champion
    assert (champion.number, champion.tags) == ("2", {REPLACED: "1"})
    former = registry.former(champion)
    assert former
    assert former.number == "1"
    assert registry.former(former) is None
    registry.set_champion(None, "2")
    assert registry.champion() is None


def test_a_move_that_another_overtakes_is_said(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    register(registry, 2)
    registry.set_champion("1", None)
    kind = type(registry._client)
    move = kind.set_registered_model_alias

    def overtaken(client: Any, name: str, alias: str, version: str) -> None:
        move(client, name, alias, version)
        move(client, name, alias, "1")

    monkeypatch.setattr(kind, "set_registered_model_alias", overtaken)
    with pytest.raises(RegistryChanged, match="is version 1, not 2: moved by somebody else"):
        registry.set_champion("2", "1")


def test_where_others_set_the_alias_the_next_lower_version_is_the_former(registry: ModelRegistry) -> None:
    register(registry, 3)
    registry._client.set_registered_model_alias(registry.model, "champion", "3")
    former = registry.former(registry.get("3"))
    assert former
    assert former.number == "2"
    registry._client.set_model_version_tag(registry.model, "1", REPLACED, "")
    former = registry.former(registry.get("3"))
    assert former
    assert former.number == "1"  # it is known to have served


@given(moves=st.lists(st.integers(0, 5), max_size=8))
@settings(max_examples=10, deadline=None)
def test_back_leads_through_the_champions_there_were_and_never_to_one_left(mlflow_file: str, moves: list[int]) -> None:
    registry = registry_at(mlflow_file)
    registry._client.create_registered_model(registry.model)
    for _ in range(6):
        registry._client.create_model_version(registry.model, "nowhere", await_creation_for=0)
    served: list[int] = []
    for move in moves:
        now = str(served[-1]) if served else None
        if move and (not served or move > served[-1]):
            registry.set_champion(str(move), now)
            served.append(move)
        elif len(served) > 1:
            former = registry.former(registry.get(str(now)))
            assert former
            assert int(former.number) == served[-2]
            registry.set_champion(former.number, now)
            served.pop()
    assert registry.champion_number() == (str(served[-1]) if served else None)


def test_nothing_is_printed_and_the_files_are_closed_to_others(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from pydantic import SecretStr
from firebreak.blocks.model_registry import ModelRegistry
import sys
assert "mlflow" not in sys.modules and "sklearn" not in sys.modules
from sklearn.dummy import DummyClassifier
address = SecretStr("sqlite:///{tmp_path}/new/mlflow.db")
registry = ModelRegistry(tracking_uri=address, artifacts=Path("{tmp_path}/files"), model="quiet")
model = DummyClassifier().fit([[0.0], [1.0]], ["a", "b"])
registry.set_champion(registry.register(model, parameters={{}}, metrics={{}}, tags={{}}).number, None)
registry.load_model(registry.champion())
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
"""
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run([sys.executable, "-c", script], cwd=here, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(here.iterdir()) == []
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "new/mlflow.db", "files")]
    assert modes == [0o700, 0o600, 0o700]
    assert list((tmp_path / "files").rglob("model.skops"))


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://user:{PASSWORD}@127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"You are not authenticated", RegistryMisconfigured),
        (403, b"Permission denied", RegistryMisconfigured),
        (503, b"later", RegistryUnreachable),
        (500, b"oops", RegistryUnreachable),
        (429, b"slowly", RegistryUnreachable),
        (404, b"<html>\nno such page", RegistryError),
        (200, b"<html>some other server</html>", RegistryUnreachable),
        (200, b"[1, 2]", RegistryUnreachable),
    ],
)
def test_a_server_that_does_not_play_along(status: int, body: bytes, kind: type[RegistryError]) -> None:
    with answering(status, body) as url, pytest.raises(kind, match=r"model registry http://127\.0\.0\.1") as raised:
        registry_at(url).champion()
    assert PASSWORD not in "".join(map(str, (raised.value, raised.value.__cause__, raised.value.__context__)))
    assert "\n" not in str(raised.value)


def test_nobody_there_is_said_at_once() -> None:
    url = f"http://user:{PASSWORD}@127.0.0.1:{free_port()}"
    with pytest.raises(RegistryUnreachable, match=r"is it up, and is tracking_uri .* right") as raised:
        registry_at(url).champion()
    assert PASSWORD not in str(raised.value)


def test_addresses_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and long enough to be looked at as one by SQLite itself" * 20)
    for uri, kind, said in (
        ("postgresql://u:p@host/db", RegistryMisconfigured, "neither sqlite"),
        ("http://", RegistryMisconfigured, "neither sqlite"),
        ("sqlite:///relative.db", RegistryMisconfigured, "is relative"),
        (f"sqlite:///{tmp_path}/text", RegistryMisconfigured, "not a database"),
        (f"sqlite:///{tmp_path}/text/below.db", RegistryUnreachable, "Not a directory|File exists"),
    ):
        with pytest.raises(kind, match=said):
            registry_at(uri).champion()
    with pytest.raises(ValidationError, match="model"):
        ModelRegistry(tracking_uri=SecretStr("sqlite:////x.db"), model="m' or name != '")
