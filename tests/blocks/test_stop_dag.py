"""The action that stops Airflow DAGs: on a real Airflow 3, and on Airflow 2's documented shapes."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from firebreak.blocks.action import LeftOut
from firebreak.blocks.stop_dag import StopDag
from firebreak.blocks.store import Batch, Incident, Store
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.flows.executor import execute
from tests.airflow_server import USERS, serving
from tests.stores import finding
from tests.web_server import Asked, Reply, WebServer, web_server


@pytest.fixture(scope="module")
def airflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("airflow")) as url:
        yield url


def block(url: str, user: str = "admin", **more: Any) -> StopDag:
    dags = {"answer-tickets": ["support", "nightly"], "lost": ["no-such-dag"]}
    return StopDag(url=url, username=user, password=SecretStr(USERS[user]), dags=dags, timeout=20, **more)


def opened(store: Store, workflow: str = "answer-tickets") -> Incident:
    return store.incidents.get(store.report(Batch(findings=[finding("r1", workflow=workflow)]), "guard").opened[0][0])


def carry_out(store: Store, incident: Incident, action: StopDag, undo: bool = False) -> Row:
    step = action.plan(store, incident, {})
    assert isinstance(step, Step)
    assert step.approval == "one"
    step = step.model_copy(update={"approval": "auto"})
    with store.lease(f"incident:{incident.id}", "me") as lease:
        assert lease
        (row,) = store.ledger.enter(incident.id, [step])
        if undo:
            (row,) = store.ledger.enter(incident.id, [step.model_copy(update={"undo_of": row.digest})])
        execute(store, incident, [row], lambda _: action, lease)
        return store.ledger.row(row.digest)


@pytest.mark.integration
class TestAirflow3:
    """One server for the class; each test leaves both DAGs unpaused."""

    @pytest.fixture
    def airflow(self, airflow_url: str) -> Iterator[httpx.Client]:
        login = {"username": "admin", "password": USERS["admin"]}
        token = httpx.post(f"{airflow_url}/auth/token", json=login).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"{airflow_url}/api/v2", headers=headers, timeout=20) as client:
            for dag in ("support", "nightly"):
                client.patch(f"/dags/{dag}", json={"is_paused": False}).raise_for_status()
            yield client

    def paused(self, airflow: httpx.Client) -> dict[str, bool]:
        return {dag: airflow.get(f"/dags/{dag}").json()["is_paused"] for dag in ("support", "nightly")}

    def test_paused_runs_failed_and_undone(self, store: Store, airflow: httpx.Client, airflow_url: str) -> None:
        for _ in range(3):
            airflow.post("/dags/support/dagRuns", json={"logical_date": None}).raise_for_status()
        incident, action = opened(store), block(airflow_url, fail_runs=True)
        row = carry_out(store, incident, action)
        assert (row.state, row.probe, row.error) == (Outcome.SUCCEEDED, {"missing": []}, None)
        assert self.paused(airflow) == {"support": True, "nightly": True}
        runs = airflow.get("/dags/support/dagRuns").json()["dag_runs"]
        assert {run["state"] for run in runs} == {"failed"}
        assert carry_out(store, incident, action, undo=True).state is Outcome.SUCCEEDED
        assert self.paused(airflow) == {"support": False, "nightly": False}

    def test_pausing_alone_leaves_runs_under_way(self, store: Store, airflow: httpx.Client, airflow_url: str) -> None:
        airflow.post("/dags/nightly/dagRuns", json={"logical_date": None}).raise_for_status()
        assert carry_out(store, opened(store), block(airflow_url)).state is Outcome.SUCCEEDED
        (run,) = airflow.get("/dags/nightly/dagRuns", params={"order_by": "-run_after", "limit": 1}).json()["dag_runs"]
        assert run["state"] == "queued"

    def test_what_was_paused_before_stays_paused(self, store: Store, airflow: httpx.Client, airflow_url: str) -> None:
        airflow.patch("/dags/nightly", json={"is_paused": True}).raise_for_status()
        incident, action = opened(store), block(airflow_url)
        carry_out(store, incident, action)
        assert carry_out(store, incident, action, undo=True).state is Outcome.SUCCEEDED
        assert self.paused(airflow) == {"support": False, "nightly": True}

    def test_a_user_who_may_not_is_refused_and_said(
        self, store: Store, airflow: httpx.Client, airflow_url: str
    ) -> None:
        row = carry_out(store, opened(store), block(airflow_url, user="viewer"))
        assert row.state is Outcome.FAILED
        assert "answered 403" in str(row.error)
        assert self.paused(airflow) == {"support": False, "nightly": False}

    def test_a_wrong_password_is_said_and_not_repeated(self, store: Store, airflow_url: str) -> None:
        action = StopDag(url=airflow_url, username="admin", password=SecretStr("wrong-0123456789"), dags={"w": ["d"]})
        row = carry_out(store, opened(store, "w"), action)
        assert row.state is Outcome.FAILED
        assert "answered 401" in str(row.error)
        assert "wrong-0123456789" not in row.model_dump_json()

    def test_an_unknown_dag_is_said(self, store: Store, airflow_url: str) -> None:
        row = carry_out(store, opened(store, "lost"), block(airflow_url))
        assert row.state is Outcome.FAILED
        assert "answered 404" in str(row.error)


class Airflow2:
    """The stable REST API of Airflow 2 as far as DAGs go: basic auth, no /auth/token."""

    def __init__(self) -> None:
        self.paused = {"support": False, "nightly": False}
        self.runs = {"support": {"manual__1": "running"}, "nightly": {}}

    def __call__(self, asked: Asked) -> Reply:
        steps = asked.path.strip("/").split("/")
        if steps[:2] != ["api", "v1"]:
            return 404, {"detail": "Not Found"}
        if not asked.headers.get("authorization", "").startswith("Basic "):
            return 403, {"detail": "Forbidden"}
        dag = steps[3]
        if len(steps) == 4:
            if asked.method == "PATCH":
                self.paused[dag] = asked.body["is_paused"]
            return 200, {"dag_id": dag, "is_paused": self.paused[dag]}
        if len(steps) == 5:
            wanted = [value for name, value in asked.params if name == "state"]
            runs = [{"dag_run_id": run, "state": state} for run, state in self.runs[dag].items() if state in wanted]
            return 200, {"dag_runs": runs, "total_entries": len(runs)}
        self.runs[dag][steps[5]] = asked.body["state"]
        return 200, {}


@pytest.fixture
def airflow2() -> Iterator[tuple[Airflow2, WebServer]]:
    airflow = Airflow2()
    with web_server(airflow) as server:
        yield airflow, server


def test_airflow_2_is_told_apart_and_stopped(store: Store, airflow2: tuple[Airflow2, WebServer]) -> None:
    airflow, server = airflow2
    incident, action = opened(store), block(server.url, fail_runs=True)
    assert carry_out(store, incident, action).state is Outcome.SUCCEEDED
    assert airflow.paused == {"support": True, "nightly": True}
    assert airflow.runs["support"] == {"manual__1": "failed"}
    assert carry_out(store, incident, action, undo=True).state is Outcome.SUCCEEDED
    assert airflow.paused == {"support": False, "nightly": False}


def test_a_workflow_without_a_dag_is_left_out(store: Store) -> None:
    assert isinstance(block("https://airflow.example.com").plan(store, opened(store, "elsewhere"), {}), LeftOut)


@pytest.mark.parametrize("url", ["airflow.example.com", "https://u:p@airflow.example.com", "https://a.example/?x=1"])
def test_an_address_with_more_in_it_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="write an address"):
        block(url)
