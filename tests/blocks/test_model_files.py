"""Model files: what is no skops file, or holds more than a model, is refused, and nothing of it runs."""

import pickle
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from firebreak.blocks.model_files import read_model, write_model
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.registry_errors import ModelRefused, RegistryError
from firebreak.flows.router import built_in, predict
from tests.blocks.registries import point, register, registry_at, run_of, tiny_model

pytest_plugins = ["tests.mlflow_server"]


@pytest.fixture
def registry(tracking_uri: str) -> ModelRegistry:
    return registry_at(tracking_uri)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def joblib_of(thing: object, path: Path, compress: int) -> None:
    import_module("joblib").dump(thing, path, compress=compress)


@pytest.mark.parametrize("how", ["pickle", "pickle-0", "joblib", "joblib-zlib", "torch"])
def test_a_pickle_is_refused_by_content_and_runs_nothing(
    registry: ModelRegistry, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firebreak.blocks import model_registry

    monkeypatch.chdir(tmp_path)

    def write(model: object, path: Path, also: object) -> None:
        if how.startswith("pickle"):
            path.write_bytes(pickle.dumps(Evil(), protocol=0 if how.endswith("0") else None))
        elif how == "torch":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
        else:
            joblib_of(Evil(), path, 3 if how.endswith("zlib") else 0)

    monkeypatch.setattr(model_registry, "write_model", write)  # as another program would have registered it
    register(registry)
    expected = "without schema.json" if how == "torch" else "pickle or joblib file.*a pickle runs code"
    with pytest.raises(ModelRefused, match=rf"model {registry.model} version 1 is a .*{expected}"):
        registry.load_model(registry.get("1"))
    assert not (tmp_path / "ran").exists()


def test_a_folder_is_a_model_when_it_holds_one_skops_file(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_model(built_in(), tmp_path / "model" / "model.skops")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.pkl").write_bytes(pickle.dumps(1))
    client, run = registry._client, run_of(registry)
    for name in ("model", "other"):
        client.log_artifacts(run.run_id, str(tmp_path / name), name)
    for source in (f"{run.artifact_uri}/model", f"{run.artifact_uri}/other", f"runs:/{run.run_id}/model"):
        point(registry, source, run.run_id)
    for number in ("2", "4"):
        assert predict(registry.load_model(registry.get(number)), ["Where is my invoice?"])
    with pytest.raises(ModelRefused, match="one skops file is needed, there are 0; register it"):
        registry.load_model(registry.get("3"))


def test_a_version_whose_file_is_gone_says_so(registry: ModelRegistry) -> None:
    run = run_of(registry)
    point(registry, f"{run.artifact_uri}/gone.skops", run.run_id)
    with pytest.raises(RegistryError, match="can't be asked for the file of version 2") as raised:
        registry.load_model(registry.get("2"))
    assert not isinstance(raised.value, ModelRefused)  # so that it is tried again


def test_a_type_that_is_not_trusted_is_refused_before_it_is_registered(mlflow_file: str) -> None:
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier().fit([[0.0], [1.0]], ["a", "b"])
    registry = registry_at(mlflow_file)
    with pytest.raises(ModelRefused, match=r"aren't trusted: sklearn\.tree\._tree\.Tree; .*trusted_types"):
        registry.register(tree, parameters={}, metrics={}, tags={})
    assert registry.versions() == []
    trusting = registry_at(mlflow_file, trusted_types=["sklearn.tree._tree.Tree"])
    made = trusting.register(tree, parameters={}, metrics={}, tags={})
    assert list(trusting.load_model(made).predict([[1.0]])) == ["b"]
    with pytest.raises(ValidationError, match="trusted_types"):
        registry_at(mlflow_file, trusted_types=["os.system"])
    with pytest.raises(ModelRefused, match="is a dict, which can't predict"):
        registry.register({"no": "model"}, parameters={}, metrics={}, tags={})
    with pytest.raises(ModelRefused, match="Evil"):
        registry.register(Evil(), parameters={}, metrics={}, tags={})


@given(start=st.integers(0, 4000), junk=st.binary(max_size=40), keep=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_refused_and_nothing_else_happens(
    tmp_path_factory: pytest.TempPathFactory, start: int, junk: bytes, keep: bool
) -> None:
    whole, damaged = (tmp_path_factory.getbasetemp() / name for name in ("whole.skops", "damaged.skops"))
    if not whole.exists():
        write_model(tiny_model(), whole)
    data = whole.read_bytes()
    damaged.write_bytes(data[:start] + junk + (data[start + len(junk) :] if keep else b""))
    try:
        model = read_model(damaged, "m")
    except ModelRefused as refusal:
        said, classes = str(refusal), ["a", "b"]
    else:
        said, classes = "model m ", list(model.classes_)
    assert said.startswith("model m ")
    assert classes == ["a", "b"]
