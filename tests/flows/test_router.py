"""The router on the shipped tickets, on tickets it has not seen, and on what the registry says."""

import logging
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.registry_errors import ModelRefused, RegistryUnreachable
from firebreak.deployments.ports import free_port
from firebreak.deployments.system import System
from firebreak.flows import served_model
from firebreak.flows.router import built_in, predict, read_tickets, route, train
from firebreak.flows.served_model import ServedModel, find_registry

pytest_plugins = ["tests.mlflow_server"]


def test_the_shipped_tickets_are_enough_and_balanced() -> None:
    texts, labels = read_tickets()
    assert Counter(labels) == {"billing": 30, "access": 30, "bug": 30, "how-to": 30}
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I was charged for two subscriptions, please refund one payment", "billing"),
        ("I cannot sign in, the password reset mail never came", "access"),
        ("The app crashes with an error after the update", "bug"),
        ("How do I export a list of my tasks?", "how-to"),
    ],
)
def test_unseen_tickets_find_their_queue(text: str, label: str) -> None:
    found = route(text)
    assert found.label == label
    assert 0.5 < found.confidence <= 1
    assert found.version == "built-in"  # there is no registry here


def test_a_text_of_unknown_words_is_routed_without_confidence() -> None:
    assert route("zzz qqq").confidence < 0.4
    assert route("").confidence < 0.4


def test_the_same_data_gives_the_same_route_in_every_process() -> None:
    script = "from firebreak.flows.router import route; print(route('Where is my receipt?').model_dump_json())"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == route("Where is my receipt?").model_dump_json()


def test_importing_the_flow_does_not_import_scikit_learn_or_mlflow() -> None:
    script = (
        "import sys, firebreak.flows.answer_tickets as a; "
        "raise SystemExit(bool({'sklearn', 'mlflow', 'pandas', 'skops', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_the_trainer_says_what_it_cannot_learn_from() -> None:
    with pytest.raises(ValueError, match="2 texts and 1 labels"):
        train(["a", "b"], ["x"])
    for texts, labels in (([], []), (["one text", "two"], ["x", "x"])):
        with pytest.raises(ValueError, match="at least two different ones"):
            train(texts, labels)
    with pytest.raises(ValueError, match="vocabulary"):
        train(["", "?"], ["x", "y"])


def test_training_twice_gives_the_same_model() -> None:
    texts, _ = read_tickets()
    assert predict(train(*read_tickets()), texts) == predict(built_in(), texts)


@given(texts=st.lists(st.text(), max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_batch_is_predicted_as_each_text_alone(texts: list[str]) -> None:
    together = predict(built_in(), texts)
    alone = [predict(built_in(), [text])[0] for text in texts]
    assert [label for label, _ in together] == [label for label, _ in alone]
    assert [sure for _, sure in together] == pytest.approx([sure for _, sure in alone])
    assert all(label in {"billing", "access", "bug", "how-to"} and 0.249 <= sure <= 1 for label, sure in together)


def test_a_model_without_probabilities_is_named() -> None:
    from sklearn.svm import LinearSVC

    with pytest.raises(TypeError, match="LinearSVC has no predict_proba"):
        predict(LinearSVC(), ["x"])


class Served:
    """A served model on a real registry, a clock to move, and a count of the files fetched."""

    def __init__(self, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.registry: ModelRegistry | None = ModelRegistry(tracking_uri=SecretStr(uri), model=f"m-{uuid4().hex[:12]}")
        self.now, self.loads = 1000.0, 0
        self.model = ServedModel(lambda: "built in", lambda: self.registry, lambda: self.now)
        load = ModelRegistry.load_model

        def counted(registry: ModelRegistry, version: Any) -> Any:
            self.loads += 1
            return load(registry, version)

        monkeypatch.setattr(ModelRegistry, "load_model", counted)

    def version(self, after: float = 0) -> str:
        self.now += after
        return self.model.current()[1]

    def champion(self, to: str) -> None:
        assert self.registry
        self.registry.set_champion(to, self.registry.champion_number())


@pytest.fixture
def served(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Served:
    made = Served(tracking_uri, monkeypatch)
    assert made.registry
    for _ in range(2):
        made.registry.register(built_in(), parameters={}, metrics={}, tags={})
    return made


def test_the_champion_serves_and_a_move_is_followed_within_five_seconds(served: Served) -> None:
    assert served.version() == "built-in"  # a registry, and no champion in it
    served.champion("1")
    assert (served.version(4.9), served.version(0.1)) == ("built-in", "1")
    served.champion("2")
    assert (served.version(4.9), served.version(0.1)) == ("1", "2")
    assert (served.version(100), served.loads) == ("2", 2)  # a version is fetched once
    assert predict(served.model.current()[0], ["I was charged twice for my invoice"])[0][0] == "billing"


def test_while_the_registry_is_away_the_last_version_goes_on_and_one_line_says_so(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.champion("1")
    assert served.version() == "1"
    there, nobody = served.registry, SecretStr(f"http://127.0.0.1:{free_port()}")
    served.registry = ModelRegistry(tracking_uri=nobody)
    with caplog.at_level(logging.WARNING, "firebreak.router"):
        assert [served.version(40) for _ in range(3)] == ["1", "1", "1"]
    assert [record.message.split(": ")[0] for record in caplog.records] == ["version 1 goes on serving"]
    served.registry = there
    served.champion("2")
    assert served.version(31) == "2"


def test_a_champion_that_is_no_skops_file_is_fetched_once_and_never_serves(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(model: object, path: Path, also: object) -> None:
        path.write_bytes(b"\x80\x05N.")

    served.champion("1")
    assert served.version() == "1"
    monkeypatch.setattr("firebreak.blocks.model_registry.write_model", write)
    assert served.registry
    served.registry.register(None, parameters={}, metrics={}, tags={})
    served.champion("3")
    assert [served.version(40) for _ in range(3)] == ["1", "1", "1"]
    assert (served.loads, len(caplog.records)) == (2, 1)
    served.champion("2")
    assert served.version(40) == "2"
    fresh = ServedModel(lambda: "built in", lambda: served.registry)
    served.champion("3")
    with pytest.raises(ModelRefused, match="version 3 is a pickle"):
        fresh.current()


def test_a_champion_without_probabilities_never_serves(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    served.champion("1")
    assert served.version() == "1"
    assert served.registry
    unsure = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(*read_tickets())
    served.registry.register(unsure, parameters={}, metrics={}, tags={})
    served.champion("3")  # as another program may set it
    assert [served.version(40) for _ in range(2)] == ["1", "1"]
    assert served.loads == 2
    assert "version 3 is a Pipeline without predict_proba" in caplog.text


def test_a_process_that_never_reached_the_registry_says_so_and_does_not_guess() -> None:
    nobody = ModelRegistry(tracking_uri=SecretStr(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(RegistryUnreachable):
        ServedModel(lambda: "built in", lambda: nobody).current()


def test_while_one_thread_looks_the_others_are_served(served: Served) -> None:
    served.champion("1")
    assert served.version() == "1"
    looking, go_on, there = threading.Event(), threading.Event(), served.registry

    def slow() -> ModelRegistry | None:
        looking.set()
        assert go_on.wait(20)
        return there

    served.model._registry = slow
    served.champion("2")
    served.now += 6
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(served.version()))
    thread.start()
    assert looking.wait(20)
    assert served.version() == "1"
    go_on.set()
    thread.join()
    assert (found, served.version()) == (["2"], "2")


@pytest.mark.integration
def test_the_registry_is_the_block_named_firebreak(
    prefect_server: System, mlflow_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_registry() is None
    registry = ModelRegistry(tracking_uri=SecretStr(mlflow_file), model=f"m-{uuid4().hex[:12]}")
    made = registry.register(built_in(), parameters={}, metrics={}, tags={})
    registry.set_champion(made.number, None)
    registry.save("firebreak", overwrite=True)
    try:
        monkeypatch.setattr("firebreak.flows.router._served", ServedModel(built_in))
        assert route("Where is my invoice?").version == "1"
        assert served_model.find_registry() == registry
    finally:
        ModelRegistry.delete("firebreak")
