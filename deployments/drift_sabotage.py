"""How each step of the demo's second half is broken; see ``sabotage.py``."""

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.model_endpoint import ModelEndpoint
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.deployments.bootstrap import DATASET, SIMULATED_MODEL
from firebreak.deployments.sabotage import (
    Sabotage,
    bootstrap_again,
    cancel_asking_run,
    delete_block,
    gone,
    sql,
)
from firebreak.deployments.scenario import Scenario
from firebreak.flows.shared import load_block

ROLL_BACK = "      - {action: roll-back-model}\n"
NO_CAUSE = (
    "CREATE TRIGGER sabotage_found AFTER INSERT ON incidents BEGIN "
    "UPDATE incidents SET cause = NULL WHERE id = NEW.id; END",
    "CREATE TRIGGER sabotage_told AFTER UPDATE OF cause ON incidents WHEN NEW.cause IS NOT NULL BEGIN "
    "UPDATE incidents SET cause = NULL WHERE id = NEW.id; END",
)


def _dataset_of(log: str) -> None:
    dataset = load_block(MonitoredDataset, DATASET)
    assert dataset.log is not None, "bootstrap gave it one"
    dataset.log = InteractionLog(path=dataset.log.path.with_name(log))
    dataset.save(DATASET, overwrite=True, _sync=True)  # type: ignore[call-arg]  # prefect's async_dispatch adds it


def _another_log(s: Scenario) -> None:
    _dataset_of("another.jsonl")


def _own_log(s: Scenario) -> None:
    _dataset_of(s.system.home.interaction_log.name)


def _model_unknown(s: Scenario) -> None:
    endpoint = load_block(ModelEndpoint)
    endpoint.model = "no-such-model"
    endpoint.save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]


def _model_known(s: Scenario) -> None:
    endpoint = load_block(ModelEndpoint)
    endpoint.model = SIMULATED_MODEL
    endpoint.save("firebreak", overwrite=True, _sync=True)  # type: ignore[call-arg]


def _good_version_back(s: Scenario) -> None:
    """The step put a bad version in force before it broke."""
    _model_known(s)
    registry = load_block(ModelRegistry)
    registry.set_champion(s.champion_before, registry.champion_number())


def _policy_without_roll_back(s: Scenario) -> None:
    s.policy = s.store.registers.policy() or ""
    _put_policy(s, s.policy.replace(ROLL_BACK, ""))


def _policy_back(s: Scenario) -> None:
    _put_policy(s, s.policy)


def _put_policy(s: Scenario, text: str) -> None:
    s.store.registers.put_policy(text, list((s.store.facts().tokens or {}).values()))


def _forget_causes(s: Scenario) -> None:
    for statement in NO_CAUSE:
        sql(s, statement)


def _remember_causes(s: Scenario) -> None:
    for name in ("sabotage_found", "sabotage_told"):
        sql(s, f"DROP TRIGGER {name}")


SABOTAGES: dict[str, Sabotage] = {
    "usual": Sabotage("usual", "the endpoint doesn't know the model", _model_unknown, _model_known),
    "shift": Sabotage("shift", "the endpoint doesn't know the model", _model_unknown, _model_known),
    "drift": Sabotage("drift", "the dataset reads another log", _another_log, _own_log),
    "cause": Sabotage("drift", "the store forgets each cause", _forget_causes, _remember_causes),
    "retrain": gone("drift", "retrain is gone", "retrain/firebreak"),
    "ask-promotion": gone("retrain", "respond is gone", "respond/firebreak"),
    "approve-promotion": Sabotage(
        "approve-promotion", "the run that asks is cancelled", cancel_asking_run, lambda s: None
    ),
    "promote": Sabotage(
        "approve-promotion", "the action that promotes is gone", delete_block("promote-model"), bootstrap_again
    ),
    "regain": Sabotage("regain", "the endpoint doesn't know the model", _model_unknown, _model_known),
    "worsen": Sabotage("worsen", "the endpoint doesn't know the model", _model_unknown, _good_version_back),
    "blame": Sabotage("blame", "the dataset reads another log", _another_log, _own_log),
    "roll-back": Sabotage("blame", "the policy has no roll-back", _policy_without_roll_back, _policy_back),
}
