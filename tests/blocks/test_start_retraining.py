"""start-retraining on a real store: asked once, within cooldown and budget, withdrawn while it is under way."""

from typing import Any

import pytest
from pydantic import Field, SecretStr

from firebreak.blocks.action import ActionError, LeftOut
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.start_retraining import StartRetraining
from firebreak.blocks.store import Batch, Incident, RetrainingState, State, Store
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.detectors.findings import ActorType, Severity
from firebreak.flows.executor import execute
from tests.stores import Clock, finding

POLICY = """
version: 1
playbooks: []
retraining: {trainer: some.where.train, cooldown_minutes: 60, budget_per_week: 3}
"""
DAY = 24 * 3600


class Quiet(StartRetraining):
    """The real action, with the test's own dataset; its signals are counted, not sent."""

    _block_type_slug = "quiet-start-retraining"
    signals: list[tuple[int, str]] = Field(default_factory=list)
    block: MonitoredDataset

    def dataset(self, name: str) -> MonitoredDataset:
        return self.block

    def signal(self, incident_id: int, dataset: str) -> None:
        self.signals.append((incident_id, dataset))


@pytest.fixture
def action(store: Store) -> Quiet:
    store.registers.put_policy(POLICY)
    registry = ModelRegistry(tracking_uri=SecretStr("sqlite:////nowhere/mlflow.db"))
    return Quiet(block=MonitoredDataset(registry=registry))


def drifted(store: Store, record: str, dataset: str = "tickets", actor_type: ActorType = ActorType.DATASET) -> Incident:
    about: dict[str, Any] = {"kind": "drift", "actor": dataset, "actor_type": actor_type, "severity": Severity.MEDIUM}
    one = finding(record, **about, token_id=None, workflow=f"w-{record}")
    return store.incidents.get(store.report(Batch(findings=[one]), "scan-drift").opened[0][0])


def planned(store: Store, action: Quiet, incident: Incident) -> Step:
    step = action.plan(store, incident, {})
    assert isinstance(step, Step)
    return step


def test_it_asks_once_and_signals_after_the_store_knows(store: Store, action: Quiet) -> None:
    incident = drifted(store, "w1")
    step = planned(store, action, incident)
    assert (step.target, step.parameters) == ("tickets", {"dataset": "tickets", "round": 0})
    assert action.verify(store, incident, step).done is False
    with store.lease("incident", "me") as lease:
        assert lease
        for _ in range(3):
            execute(store, incident, store.ledger.enter(incident.id, [step]), lambda _: action, lease)
    (asked,) = store.retrainings.open()
    assert (asked.dataset, asked.incident_id, asked.key) == ("tickets", incident.id, step.digest(incident.id))
    assert action.signals == [(incident.id, "tickets")]
    assert [row.state for row in store.ledger.rows(incident.id)] == [Outcome.SUCCEEDED]


def test_nothing_is_planned_for_users_or_without_a_section_in_the_policy(store: Store, action: Quiet) -> None:
    of_a_user = drifted(store, "w1", "ada", ActorType.USER)
    assert action.plan(store, of_a_user, {}) == LeftOut(why="the incident is about a user, not a dataset")
    store.registers.put_policy("version: 1\nplaybooks: []\n")
    incident = drifted(store, "w2")
    assert action.plan(store, incident, {}) == LeftOut(why="the policy has no section retraining")
    step = Step(action="start-retraining", target="tickets", parameters={"dataset": "tickets", "round": 0}, title="x")
    with pytest.raises(ActionError, match="the policy has no retraining section any more"):
        action.apply(store, incident, step)


def test_nothing_is_planned_for_a_dataset_without_a_registry(store: Store, action: Quiet) -> None:
    action.block = MonitoredDataset()
    left = action.plan(store, drifted(store, "w1"), {})
    assert left == LeftOut(why="the block monitored-dataset/tickets names no model registry")


def ask(store: Store, action: Quiet, record: str) -> int:
    incident = drifted(store, record)
    action.apply(store, incident, planned(store, action, incident))
    return store.retrainings.of_incident(incident.id)[-1].id


def test_one_at_a_time_then_the_cooldown_then_the_budget(store: Store, clock: Clock, action: Quiet) -> None:
    first = ask(store, action, "w1")
    with pytest.raises(ActionError, match=f"retraining {first} of incident 1 is under way"):
        ask(store, action, "w2")
    store.retrainings.set(first, state=RetrainingState.REFUSED)
    clock.forward(59 * 60)
    with pytest.raises(ActionError, match=r"cooldown_minutes is 60; .* after 2026-05-01 13:00 UTC"):
        ask(store, action, "w3")
    clock.forward(61)
    for record in ("w4", "w5"):
        store.retrainings.set(ask(store, action, record), state=RetrainingState.HANDED_OVER)
        clock.forward(DAY)
    with pytest.raises(ActionError, match=r"3 retrainings in seven days, .* is 3; .* after 2026-05-08 12:00 UTC"):
        ask(store, action, "w6")
    clock.forward(5 * DAY)
    ask(store, action, "w7")


def test_other_datasets_and_withdrawn_requests_do_not_count(store: Store, action: Quiet) -> None:
    store.retrainings.set(ask(store, action, "w1"), state=RetrainingState.WITHDRAWN)
    ask(store, action, "w2")
    other = drifted(store, "w3", "answers")
    action.apply(store, other, planned(store, action, other))


def test_triaged_again_it_keeps_what_is_under_way_and_asks_anew_afterwards(store: Store, action: Quiet) -> None:
    incident = drifted(store, "w1")
    step = planned(store, action, incident)
    action.apply(store, incident, step)
    for state in (State.TRIAGED, State.OPEN):
        store.incidents.move(incident.id, state, "test")
    assert planned(store, action, incident) == step
    store.retrainings.set(store.retrainings.open()[0].id, state=RetrainingState.REFUSED)
    assert planned(store, action, incident).parameters["round"] == 1


@pytest.mark.parametrize("state", [RetrainingState.REQUESTED, RetrainingState.RUNNING])
def test_undone_while_under_way_it_is_withdrawn(store: Store, action: Quiet, state: RetrainingState) -> None:
    incident = drifted(store, "w1")
    step = planned(store, action, incident)
    action.apply(store, incident, step)
    (asked,) = store.retrainings.open()
    store.retrainings.set(asked.id, state=state)
    undo = step.model_copy(update={"undo_of": asked.key})
    assert action.verify_undone(store, incident, undo, {}).done is False
    action.undo(store, incident, undo, {})
    assert action.verify_undone(store, incident, undo, {}).done is True
    assert store.retrainings.get(asked.id).state is RetrainingState.WITHDRAWN
    assert action.verify(store, incident, step).done is False


@pytest.mark.parametrize("state", [RetrainingState.HANDED_OVER, RetrainingState.REFUSED, RetrainingState.FAILED])
def test_what_has_ended_stays_and_a_release_is_not_held_up_by_it(
    store: Store, action: Quiet, state: RetrainingState
) -> None:
    incident = drifted(store, "w1")
    step = planned(store, action, incident)
    action.apply(store, incident, step)
    (asked,) = store.retrainings.open()
    store.retrainings.set(asked.id, state=state)
    undo = step.model_copy(update={"undo_of": asked.key})
    action.undo(store, incident, undo, {})
    assert action.verify_undone(store, incident, undo, {}).done is True
    assert store.retrainings.get(asked.id).state is state
