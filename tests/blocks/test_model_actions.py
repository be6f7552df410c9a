"""Rolling back and promoting through the real executor, ledger and registry, also when killed or overtaken."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from firebreak.blocks.action import Action, ActionError, LeftOut
from firebreak.blocks.champion_action import ChampionAction
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.promote_model import PromoteModel
from firebreak.blocks.registry_errors import ModelRefused
from firebreak.blocks.roll_back_model import RollBackModel
from firebreak.blocks.store import Batch, Incident, Store
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.detectors.findings import ActorType
from firebreak.flows.executor import execute
from tests.blocks.registries import registry_at, tiny_model
from tests.stores import Clock, finding

pytest_plugins = ["tests.mlflow_server"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def registry(tracking_uri: str) -> ModelRegistry:
    return with_three_versions(tracking_uri)


def with_three_versions(tracking_uri: str) -> ModelRegistry:
    """Three versions; 2 is the champion and took over from 1."""
    made = registry_at(tracking_uri)
    for _ in range(3):
        made.register(tiny_model(), parameters={}, metrics={}, tags={})
    made.set_champion("1", None)
    made.set_champion("2", "1")
    return made


def incident_of(store: Store, actor: str = "support-tickets") -> Incident:
    return store.incidents.get(store.report(Batch(findings=[finding("r1", actor=actor)]), "guard").opened[0][0])


@pytest.fixture
def incident(store: Store) -> Incident:
    return incident_of(store)


@pytest.fixture
def back(registry: ModelRegistry) -> RollBackModel:
    return RollBackModel(registry=registry)


def run(store: Store, incident: Incident, action: Action, step: Step) -> Row:
    with store.lease(f"incident:{incident.id}", uuid4().hex) as lease:
        assert lease
        execute(store, incident, store.ledger.enter(incident.id, [step]), lambda _: action, lease)
    return store.ledger.row(step.digest(incident.id))


def undo(store: Store, incident: Incident, action: Action, row: Row) -> Row:
    return run(store, incident, action, row.step.model_copy(update={"undo_of": row.digest}))


def planned(store: Store, incident: Incident, action: Action, **parameters: Any) -> Step:
    step = action.plan(store, incident, parameters)
    assert isinstance(step, Step)
    return step


def test_the_roll_back_is_planned_as_data_done_once_and_undone(
    store: Store, incident: Incident, registry: ModelRegistry, back: RollBackModel
) -> None:
    step = planned(store, incident, back)
    assert (step.action, step.target, step.approval) == ("roll-back-model", registry.model, "auto")
    assert step.parameters == {"from": "2", "to": "1"}
    assert step.title == f"Roll back model {registry.model} from version 2 to version 1"
    for _ in range(2):
        row = run(store, incident, back, step)
        assert (row.state, row.attempts, row.former) == (Outcome.SUCCEEDED, 1, {"champion": "2"})
        assert registry.champion_number() == "1"
    assert back.plan(store, incident, {}) == LeftOut(why=f"model {registry.model} has no version to go back to")
    assert undo(store, incident, back, row).state is Outcome.SUCCEEDED
    assert registry.champion_number() == "2"
    assert store.ledger.row(row.digest).state is Outcome.UNDONE


def test_a_plan_that_no_longer_fits_is_refused_and_tried_again_when_it_does(
    store: Store, incident: Incident, registry: ModelRegistry, back: RollBackModel
) -> None:
    step = planned(store, incident, back)
    registry.set_champion("3", "2")
    row = run(store, incident, back, step)
    assert (row.state, row.attempts, registry.champion_number()) == (Outcome.FAILED, 0, "3")
    assert "ActionError: no longer what was planned: the champion of" in str(row.error)
    assert "is version 3, not 2" in str(row.error)
    registry.set_champion("2", "3")
    assert run(store, incident, back, step).state is Outcome.SUCCEEDED


def test_an_undo_leaves_what_was_chosen_since(
    store: Store, incident: Incident, registry: ModelRegistry, back: RollBackModel
) -> None:
    row = run(store, incident, back, planned(store, incident, back))
    registry.set_champion("3", "1")
    undone = undo(store, incident, back, row)
    assert (undone.state, undone.probe) == (Outcome.SUCCEEDED, {"champion": "3", "was": "2", "found": "already so"})
    assert registry.champion_number() == "3"


def test_who_found_it_done_already_takes_nothing_back(
    store: Store, incident: Incident, registry: ModelRegistry, back: RollBackModel
) -> None:
    step, second = planned(store, incident, back), incident_of(store, "another-dataset")
    run(store, incident, back, step)
    row = run(store, second, back, step)
    assert (row.state, row.former) == (Outcome.SUCCEEDED, None)
    assert undo(store, second, back, row).state is Outcome.SUCCEEDED
    assert registry.champion_number() == "1"


def test_killed_after_the_move_the_next_run_finds_it_done(
    store: Store, store_url: str, clock: Clock, incident: Incident, mlflow_file: str
) -> None:
    registry = with_three_versions(mlflow_file)
    back = RollBackModel(registry=registry)
    step = planned(store, incident, back)
    script = f"""
import os, signal
from pydantic import SecretStr
from mlflow.tracking import MlflowClient
from firebreak.blocks.store import Store
from tests.blocks import test_model_actions as here
from tests.stores import Clock

move = MlflowClient.set_registered_model_alias
def killed(*arguments):
    move(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
MlflowClient.set_registered_model_alias = killed

registry = here.ModelRegistry(tracking_uri=SecretStr({registry._uri!r}), model={registry.model!r})
store = Store({store_url!r}, Clock())
action = here.RollBackModel(registry=registry)
here.run(store, store.incidents.get({incident.id}), action, here.Step.model_validate_json({step.model_dump_json()!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert registry.champion_number() == "1"
    assert store.ledger.row(step.digest(incident.id)).state is Outcome.ATTEMPTED
    clock.forward(16)  # the dead one's leases run out
    row = run(store, incident, back, step)
    assert (row.state, row.former) == (Outcome.SUCCEEDED, {"champion": "2"})
    assert row.probe == {"champion": "1", "found": "already so"}
    assert undo(store, incident, back, row).state is Outcome.SUCCEEDED
    assert registry.champion_number() == "2"


def test_of_two_that_move_at_once_one_wins_and_the_other_is_refused(
    store: Store, incident: Incident, registry: ModelRegistry, back: RollBackModel
) -> None:
    promote = PromoteModel(registry=registry)
    for turn in range(3):
        onward = planned(store, incident, promote, version=3, expected=2, approval="auto")
        movers: list[tuple[Incident, ChampionAction, Step]] = [
            (incident_of(store, f"a{turn}"), back, planned(store, incident, back)),
            (incident_of(store, f"b{turn}"), promote, onward),
        ]
        together, rows = threading.Barrier(2), list[Row]()

        def move(one: Incident, action: ChampionAction, step: Step) -> None:
            together.wait()  # noqa: B023 - joined before the next turn
            rows.append(run(store, one, action, step))  # noqa: B023

        threads = [threading.Thread(target=move, args=mover) for mover in movers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won, lost = sorted(rows, key=lambda row: row.state is not Outcome.SUCCEEDED)
        assert (won.state, lost.state) == (Outcome.SUCCEEDED, Outcome.FAILED)
        assert "no longer what was planned" in str(lost.error)
        now = registry.champion_number()
        assert now == won.parameters["to"]
        registry.set_champion("2", now)


def test_a_version_that_cannot_be_loaded_is_not_put_into_service(
    store: Store, incident: Incident, registry: ModelRegistry, back: RollBackModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ModelRefused("model m version 1 is a pickle or joblib file")

    monkeypatch.setattr(ModelRegistry, "load_model", refused)
    row = run(store, incident, back, planned(store, incident, back))
    assert (row.state, registry.champion_number()) == (Outcome.FAILED, "2")
    assert "stays at version 2: model m version 1 is a pickle" in str(row.error)


def test_a_version_without_probabilities_never_serves(store: Store, incident: Incident, mlflow_file: str) -> None:
    from sklearn.svm import LinearSVC

    registry = registry_at(mlflow_file)
    for model in (tiny_model(), LinearSVC().fit([[0.0], [1.0]], ["a", "b"])):
        registry.register(model, parameters={}, metrics={}, tags={})
    registry.set_champion("1", None)
    promote = PromoteModel(registry=registry)
    row = run(store, incident, promote, planned(store, incident, promote, version=2, expected=1, approval="auto"))
    assert (row.state, registry.champion_number()) == (Outcome.FAILED, "1")
    assert "stays at version 1" in str(row.error)
    assert "version 2 is a LinearSVC without predict_proba" in str(row.error)


def dataset_incident(store: Store) -> Incident:
    one = finding("w1", kind="drift", actor="tickets", actor_type=ActorType.DATASET, token_id=None)
    return store.incidents.get(store.report(Batch(findings=[one]), "scan-drift").opened[0][0])


@pytest.mark.parametrize("action", [RollBackModel, PromoteModel])
def test_an_incident_of_another_models_dataset_moves_nothing(
    store: Store, mlflow_file: str, action: type[ChampionAction], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, incident = with_three_versions(mlflow_file), dataset_incident(store)
    blocks = {"tickets": MonitoredDataset(registry=registry)}
    monkeypatch.setattr(ChampionAction, "dataset", lambda _, name: blocks[name])
    of_ours = action(registry=registry)
    assert isinstance(of_ours.plan(store, incident, {"version": 3, "expected": 2}), Step)
    for its in (
        None,
        registry.model_copy(update={"model": "another"}),
        registry.model_copy(update={"tracking_uri": SecretStr("http://127.0.0.1:9")}),
    ):
        blocks["tickets"] = MonitoredDataset(registry=its)
        left = of_ours.plan(store, incident, {"version": 3, "expected": 2})
        assert isinstance(left, LeftOut)
        assert "dataset tickets is not about model" in left.why


def test_while_another_moves_the_champion_nobody_else_does(
    store: Store, incident: Incident, registry: ModelRegistry, back: RollBackModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firebreak.blocks.champion_action.WAIT_SECONDS", 0)
    with store.lease(f"champion:{registry.model}", "another"):
        row = run(store, incident, back, planned(store, incident, back))
    assert (row.state, registry.champion_number()) == (Outcome.FAILED, "2")
    assert "another is moving the champion" in str(row.error)


def test_a_promotion_waits_for_a_person_unless_the_policy_says_auto(
    store: Store, incident: Incident, registry: ModelRegistry
) -> None:
    promote = PromoteModel(registry=registry)
    step = planned(store, incident, promote, version="3", expected="2")
    assert (step.action, step.parameters, step.approval) == ("promote-model", {"from": "2", "to": "3"}, "one")
    assert run(store, incident, promote, step).state is Outcome.PLANNED
    step = planned(store, incident, promote, version=3, expected=2, approval="auto")
    assert (step.parameters, step.approval) == ({"from": "2", "to": "3"}, "auto")
    for odd in ("none", True, None):
        assert planned(store, incident, promote, version=3, approval=odd).approval == "one"
    assert promote.plan(store, incident, {}) == LeftOut(why="no version to promote was named")
    second = incident_of(store, "another-dataset")
    row = run(store, second, promote, step)
    assert (row.state, registry.champion_number()) == (Outcome.SUCCEEDED, "3")
    former = registry.former(registry.get("3"))
    assert former
    assert former.number == "2"
    assert undo(store, second, promote, row).state is Outcome.SUCCEEDED
    assert registry.champion_number() == "2"


def test_the_first_promotion_of_all_can_be_taken_back_too(
    store: Store, incident: Incident, registry: ModelRegistry
) -> None:
    registry.set_champion(None, "2")
    promote = PromoteModel(registry=registry)
    row = run(store, incident, promote, planned(store, incident, promote, version=1, expected=None, approval="auto"))
    assert (row.state, registry.champion_number()) == (Outcome.SUCCEEDED, "1")
    assert undo(store, incident, promote, row).state is Outcome.SUCCEEDED
    assert registry.champion_number() is None


def test_a_step_about_another_model_is_refused(store: Store, incident: Incident, back: RollBackModel) -> None:
    step = planned(store, incident, back).model_copy(update={"target": "another"})
    with pytest.raises(ActionError, match="the step is about model another"):
        back.apply(store, incident, step)
    row = run(store, incident, back, step)
    assert row.state is Outcome.FAILED
