"""Where a version's file may be: what another program wrote as its source is followed to the registry's own places."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firebreak.blocks.model_files import write_model
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.model_sources import own_place
from firebreak.blocks.registry_errors import ModelRefused
from tests.blocks.registries import point, register, registry_at, run_of, tiny_model

pytest_plugins = ["tests.mlflow_server"]
SERVER = "https://user:secret@mlflow.example:5000"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a sound model, which isn't the registry's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    write_model(tiny_model(), folder / "model.skops")
    (folder / "payroll.xlsx").touch()
    return folder


def refused(registry: ModelRegistry, source: str) -> str:
    number = point(registry, source)
    with pytest.raises(ModelRefused) as raised:
        registry.load_model(registry.get(number))
    return str(raised.value)


def test_with_sqlite_only_the_registrys_own_folder_is_read(tmp_path: Path, outside: Path) -> None:
    own = tmp_path / "own 100%20 #1"
    registry = registry_at(f"sqlite:///{tmp_path}/mlflow.db", artifacts=own)
    (number,) = register(registry)
    assert registry.load_model(registry.get(number)).predict([[1.0]]).tolist() == ["b"]
    (own / "link").symlink_to(outside)
    for source in (
        str(outside),
        f"{outside}/model.skops",
        outside.as_uri(),
        f"{own.as_uri()}/%2e%2e/outside",
        f"{own.as_uri()}/link",
        f"{own}/../outside/model.skops",
        "s3://bucket/model.skops",
        "",
    ):
        said = refused(registry, source)
        assert "its file isn't in" in said
        assert "payroll" not in said


def test_a_run_elsewhere_is_no_way_out(tmp_path: Path, outside: Path) -> None:
    registry = registry_at(f"sqlite:///{tmp_path}/mlflow.db")
    register(registry)
    experiment = registry._client.create_experiment("elsewhere", outside.as_uri())
    run = registry._client.create_run(experiment).info
    registry._client.log_artifact(run.run_id, str(outside / "model.skops"))
    assert "its file isn't in" in refused(registry, f"runs:/{run.run_id}/model.skops")


def test_nothing_is_registered_where_it_would_not_be_read(tmp_path: Path, outside: Path) -> None:
    registry = registry_at(f"sqlite:///{tmp_path}/mlflow.db")
    registry._client.create_experiment(f"firebreak-{registry.model}", outside.as_uri())
    with pytest.raises(ModelRefused, match=r"\(new\): its file isn't in"):
        register(registry)
    assert registry.versions() == []
    assert sorted(file.name for file in outside.rglob("*")) == ["model.skops", "payroll.xlsx"]


@pytest.mark.integration
def test_with_a_server_nobody_else_is_asked(mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    registry = registry_at(mlflow_url)
    run = run_of(registry)
    number = point(registry, f"runs:/{run.run_id}/model.skops", run.run_id)
    assert registry.load_model(registry.get(number)).predict([[1.0]]).tolist() == ["b"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
        for scheme, said in (("http", "at an address http:"), ("mlflow-artifacts", "on another server")):
            address = f"{scheme}://127.0.0.1:{other.server_port}/model.skops"  # this server would not take it itself
            monkeypatch.setattr(type(registry._client), "get_model_version_download_uri", lambda *_, to=address: to)
            with pytest.raises(ModelRefused, match=said):
                registry.load_model(registry.get(number))
        other.shutdown()
    assert asked == []


@pytest.mark.parametrize(
    "address",
    ["mlflow-artifacts:/1/a", "mlflow-artifacts://mlflow.example:5000/1", "s3://b/x", "gs://b/x", "abfss://c@a/x"],
)
def test_the_server_and_cloud_stores_are_followed(address: str) -> None:
    assert own_place(SERVER, None, address, "m version 1") is None


@given(
    scheme=st.sampled_from(["file", "http", "https", "ftp", "sftp", "hdfs", "dbfs", "runs", "models", "FILE", ""]),
    rest=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="[]"), max_size=30),
)
@settings(max_examples=200)
def test_every_other_address_is_refused(scheme: str, rest: str) -> None:
    address = f"{scheme}:/{rest}" if scheme else f"/{rest}"
    with pytest.raises(ModelRefused, match="model m version 1: its file is at an address") as raised:
        own_place(SERVER, None, address, "m version 1")
    assert "secret" not in str(raised.value)
