"""release as a flow on a real Prefect server: it shows first what it would do, and takes all or some."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.blocks.workflow_controls import WorkflowControls
from firebreak.deployments.commands import REPOSITORY
from firebreak.deployments.system import System
from firebreak.flows.ending import end_expired
from firebreak.flows.executor import execute
from firebreak.flows.release import ReleaseFailed, release
from firebreak.flows.runs import Runs
from firebreak.flows.shared import load_action
from tests.flows.support import responding_blocks
from tests.stores import finding

pytestmark = pytest.mark.integration
HELD = {"kind": "user", "workflow": "answer-tickets"}


@pytest.fixture
def store(prefect_server: System, tmp_path: Path) -> Store:
    store = responding_blocks(tmp_path)
    store.registers.put_policy("version: 1\nplaybooks: []\n")
    return store


def contained(store: Store, record: str = "r1", actor: str = "mallory") -> int:
    """An incident whose plan told the team, quarantined its user and stopped its workflow."""
    number = store.report(Batch(findings=[finding(record, actor=actor)]), "guard").opened[0][0]
    steps = [
        Step(action="notify-team", target="log", parameters={"subject": "told"}, title="Tell"),
        Step(action="quarantine-actor", target=actor, parameters=HELD, title=f"Hold {actor}"),
        Step(action="stop-workflow", target="answer-tickets", title="Stop answer-tickets"),
    ]
    with store.lease(f"incident:{number}", "test") as lease:
        assert lease
        execute(store, store.incidents.get(number), store.ledger.enter(number, steps), load_action, lease)
    for state in (State.TRIAGED, State.RESPONDING, State.CONTAINED):
        store.incidents.move(number, state, "test")
    return number


def previewed(number: int) -> list[dict[str, str]]:
    """The newest preview's table."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"release-{number}"])))
    rows: list[dict[str, str]] = json.loads(str(max(found, key=lambda one: str(one.created)).data))
    return rows


def standing(store: Store, number: int) -> set[str]:
    return {hold.kind for hold in store.holds.of_incident(number)}


def states(store: Store, number: int) -> list[tuple[str, Outcome]]:
    return [(row.action, row.state) for row in store.ledger.rows(number) if not row.undo_of]


def test_a_preview_says_what_would_be_undone_and_does_nothing(store: Store) -> None:
    number, other = contained(store), contained(store, "r2", "trudy")
    before = store.incidents.timeline(number), store.ledger.rows(number), store.holds.all()
    said = release(number, "resolved", "Ada", "done", preview=True)
    assert said.startswith(f"incident {number}: 2 step(s) would be undone, 1 kept")
    assert (store.incidents.timeline(number), store.ledger.rows(number), store.holds.all()) == before
    stop, hold, tell = previewed(number)
    assert [row["would be"] for row in (stop, hold, tell)] == ["undone", "undone", "kept"]
    assert stop["why"] == f"its effect stays as long as incidents {other} want it"
    assert "deployments" in stop["back to"]
    assert hold["why"] == "nothing else wants it"
    assert tell["why"] == "it can't be undone"
    assert hold["name it by"] == store.ledger.rows(number)[1].digest[:12]
    release(number, "resolved", "Ada", "done")
    assert (store.incidents.get(number).state, standing(store, number)) == (State.RESOLVED, set())
    assert standing(store, other) == {"quarantine-user", "stop-workflow"}


@pytest.mark.parametrize("by_digest", [False, True])
def test_some_steps_are_undone_and_the_incident_stays_contained_by_the_others(store: Store, by_digest: bool) -> None:
    number = contained(store)
    name = store.ledger.rows(number)[2].digest[:12] if by_digest else "stop-workflow"
    release(number, "stays-open", "Ada", "the workflow may run", steps=(name,), preview=True)
    assert [row["why"] for row in previewed(number)][1:] == ["not chosen", "not chosen"]
    said = release(number, "stays-open", "Ada", "the workflow may run", steps=(name,))
    assert said == f"incident {number}: contained, 1 step(s) undone and verified"
    assert standing(store, number) == {"quarantine-user"}
    assert states(store, number) == [
        ("notify-team", Outcome.SUCCEEDED),
        ("quarantine-actor", Outcome.SUCCEEDED),
        ("stop-workflow", Outcome.UNDONE),
    ]
    said = release(number, "stays-open", "Ada", "all of it", steps=("quarantine-actor",))
    assert said == f"incident {number}: needs-person, 1 step(s) undone and verified"  # nothing contains it any more
    assert standing(store, number) == set()
    release(number, "resolved", "Ada", "done")
    assert store.incidents.get(number).state is State.RESOLVED


def test_all_of_it_undone_without_closing_needs_a_person(store: Store) -> None:
    number = contained(store)
    release(number, "stays-open", "Ada", "looked at it")
    assert (store.incidents.get(number).state, standing(store, number)) == (State.NEEDS_PERSON, set())


def test_a_detectors_quarantine_is_in_the_preview_and_can_be_chosen(store: Store) -> None:
    number = store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]
    release(number, "resolved", "Ada", "known", preview=True)
    (row,) = previewed(number)
    assert (row["now"], row["would be"]) == ("held by detectors", "undone")
    assert store.ledger.rows(number) == []
    release(number, "stays-open", "Ada", "known", steps=("quarantine-actor",))
    assert standing(store, number) == set()
    assert states(store, number) == [("quarantine-actor", Outcome.UNDONE)]
    store.report(Batch(findings=[finding("r2")]), "guard")  # it goes on
    assert standing(store, number) == {"quarantine-user"}
    release(number, "stays-open", "Ada", "known")
    assert (standing(store, number), states(store, number)) == (set(), [("quarantine-actor", Outcome.UNDONE)])


@pytest.mark.parametrize("answer", [None, Outcome.REFUSED])
def test_held_by_detectors_and_asked_about_the_release_undoes_it(store: Store, answer: Outcome | None) -> None:
    number = store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]
    step = Step(action="quarantine-actor", target="mallory", parameters=HELD, title="Hold", approval="one")
    (row,) = store.ledger.enter(number, [step])
    if answer:
        with store.lease(f"incident:{number}", "test") as lease:
            assert lease
            store.ledger.settle(lease, row, answer, None)
    release(number, "stays-open", "Ada", "known", preview=True)
    assert [(row["now"], row["would be"]) for row in previewed(number)] == [("held by detectors", "undone")]
    said = release(number, "stays-open", "Ada", "known")
    assert said.endswith("1 step(s) undone and verified")
    assert (standing(store, number), states(store, number)) == (set(), [("quarantine-actor", Outcome.UNDONE)])


def test_another_workflows_quarantine_is_none_of_this_one(store: Store) -> None:
    number = contained(store)
    other = store.report(Batch(findings=[finding("r2", workflow="summaries")]), "guard").opened[0][0]
    assert standing(store, other) == {"quarantine-user"}
    release(number, "resolved", "Ada", "done", preview=True)
    assert [row["why"] for row in previewed(number)][1] == "nothing else wants it"


def test_an_effect_that_is_planned_twice_is_undone_whichever_step_is_chosen(store: Store) -> None:
    number = contained(store)
    again = Step(action="quarantine-actor", target="mallory", parameters=HELD, title="Hold", expires_after=3600)
    with store.lease(f"incident:{number}", "test") as lease:
        assert lease
        execute(store, store.incidents.get(number), store.ledger.enter(number, [again]), load_action, lease)
    release(number, "stays-open", "Ada", "x", steps=(again.digest(number)[:12],))
    assert standing(store, number) == {"stop-workflow"}
    assert [state for action, state in states(store, number) if action == "quarantine-actor"] == [Outcome.UNDONE] * 2


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"verdict": "resolved", "steps": ("stop-workflow",)}, "only be undone with the verdict stays-open"),
        ({"verdict": "stays-open", "steps": ("stop-dag",)}, r"has no step stop-dag; it has: .*\(stop-workflow\)"),
        ({"verdict": "stays-open", "texts_are_attacks": True}, "only `resolved` goes with texts_are_attacks"),
    ],
)
@pytest.mark.parametrize("preview", [False, True])
def test_what_can_not_be_meant_is_refused_and_does_nothing(
    store: Store, wanted: dict[str, Any], says: str, preview: bool
) -> None:
    number = contained(store)
    with pytest.raises(ValueError, match=says):
        release(number, name="Ada", reason="x", preview=preview, **wanted)
    assert standing(store, number) == {"quarantine-user", "stop-workflow"}
    assert store.incidents.get(number).state is State.CONTAINED


def test_a_part_that_can_not_be_verified_leaves_the_incident_contained(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = contained(store)
    monkeypatch.setattr(QuarantineActor, "undo", lambda *_: None)
    with pytest.raises(ReleaseFailed):
        release(number, "stays-open", "Ada", "x", steps=("quarantine-actor",))
    assert (store.incidents.get(number).state, standing(store, number)) == (
        State.CONTAINED,
        {"quarantine-user", "stop-workflow"},
    )


def test_of_a_closed_incident_nothing_is_undone(store: Store) -> None:
    number = contained(store)
    release(number, "resolved", "Ada", "done")
    assert "nothing of it stands" in release(number, "stays-open", "Ada", "again")
    assert "at most correct its verdict" in release(number, "false-positive", "Ada", "again", preview=True)
    assert store.incidents.get(number).state is State.RESOLVED


def test_a_stop_that_ends_is_undone_at_prefect(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firebreak.flows.ending.publish", lambda store, number: None)
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("answer-tickets")
        deployment = client.create_deployment(flow, "support", concurrency_limit=7)
        number = store.report(Batch(findings=[finding("r1")]), "guard").opened[0][0]
        step = Step(action="stop-workflow", target="answer-tickets", title="Stop", expires_after=3600)
        with store.lease(f"incident:{number}", "test") as lease:
            assert lease
            execute(store, store.incidents.get(number), store.ledger.enter(number, [step]), load_action, lease)
        for state in (State.TRIAGED, State.RESPONDING, State.CONTAINED):
            store.incidents.move(number, state, "test")
        assert WorkflowControls().is_stopped("answer-tickets") == []
        runs = Runs(client)
        assert end_expired(store, runs) == []
        later = Store(f"sqlite:///{tmp_path}/store.db", lambda: store.now + timedelta(hours=1))
        assert end_expired(later, runs) == [f"incident {number}: Stop: its time is over: undone"]
        limit = client.read_deployment(deployment).global_concurrency_limit
        assert limit
        assert limit.limit == 7
    assert standing(store, number) == {"quarantine-user"}  # a detector's, which has no end
    assert store.incidents.get(number).state is State.CONTAINED


def test_the_form_begins_with_a_preview() -> None:
    table = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    (one,) = [d for d in table["deployments"] if d["entrypoint"].endswith("release.release")]
    assert one["parameters"] == {"preview": True}
