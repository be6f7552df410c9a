"""Block: stop the Airflow DAGs of a workflow, on Airflow 3 (token, /api/v2) or 2 (basic auth, /api/v1).

Which of the two it is, is found by asking: only Airflow 3 has /auth/token.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
from pydantic import ConfigDict, Field, SecretStr, field_validator

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe, held_by_others
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step
from firebreak.blocks.web import Web, WebNonsense, web_address

UNFINISHED = ("queued", "running")
PAGE = 100
MOST_RUNS = 1000  # failed in one go


@dataclass(frozen=True)
class _Api:
    """Airflow as one version speaks it."""

    web: Web
    root: str
    headers: dict[str, str]
    auth: httpx.BasicAuth | None

    def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = self.web.ask_json(method, self.root + path, headers=self.headers, auth=self.auth, **more)
        if not isinstance(answer, dict):
            raise WebNonsense(self.web.say("answered something else than agreed", f"{method} {path}"))
        return answer

    def paused(self, dag: str) -> bool:
        found = self.ask("GET", f"/dags/{quote(dag, safe='')}").get("is_paused")
        if not isinstance(found, bool):
            raise WebNonsense(self.web.say("doesn't say whether the DAG is paused", dag))
        return found

    def pause(self, dag: str, paused: bool) -> None:
        self.ask(
            "PATCH", f"/dags/{quote(dag, safe='')}", params={"update_mask": "is_paused"}, json={"is_paused": paused}
        )

    def unfinished(self, dag: str) -> list[str]:
        """Ids of the DAG's queued and running runs, at most ``MOST_RUNS``."""
        found: list[str] = []
        path = f"/dags/{quote(dag, safe='')}/dagRuns"
        while len(found) < MOST_RUNS:
            asked = {"state": list(UNFINISHED), "limit": PAGE, "offset": len(found)}
            page = [str(run["dag_run_id"]) for run in self.ask("GET", path, params=asked).get("dag_runs", [])]
            found += page
            if len(page) < PAGE:
                break
        return found

    def fail(self, dag: str, run: str) -> None:
        path = f"/dags/{quote(dag, safe='')}/dagRuns/{quote(run, safe='')}"
        self.ask("PATCH", path, json={"state": "failed"})


class StopDag(Action):
    """Pause the DAGs that carry the incident's workflow, and fail their unfinished runs where asked."""

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "Stop DAG"
    _block_type_slug = "stop-dag"
    _description = "Firebreak action: pause a workflow's DAGs in Apache Airflow 2 or 3, undone by the release."

    repeatable: ClassVar[bool] = True
    reasserted: ClassVar[bool] = True

    url: str = Field(description="Airflow's address, as https://airflow.example.com")
    username: str = Field(description="a user that may edit these DAGs and their runs")
    password: SecretStr = Field(description="its password, kept secret")
    dags: dict[str, list[str]] = Field(description="workflow to its DAG ids; a workflow that isn't here is left alone")
    fail_runs: bool = Field(default=False, description="also fail runs under way (pausing doesn't stop them)")
    timeout: float = Field(default=10, gt=0, description="seconds for one answer")

    _address = field_validator("url")(partial(web_address))

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """Left out for a workflow that no DAG carries."""
        dags = self.dags.get(incident.workflow)
        if not dags:
            return LeftOut(why=f"the block stop-dag names no DAG of workflow {incident.workflow}")
        and_runs = ", their unfinished runs failed" if self.fail_runs else ""
        return Step(
            action=self.get_block_type_slug(),
            target=incident.workflow,
            parameters={"dags": sorted(dags), "fail_runs": self.fail_runs},
            title=f"Stop DAG {', '.join(sorted(dags))} in Airflow: paused{and_runs}",
            approval="one",  # it hits every user, so no policy can make it automatic
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        api, missing = self._api(), []
        for dag in step.parameters["dags"]:
            if not api.paused(dag):
                missing.append(f"{dag} is not paused")
            if step.parameters["fail_runs"] and (runs := api.unfinished(dag)):
                missing.append(f"{dag} has {len(runs)} unfinished runs")
        return Probe(done=not missing, seen={"missing": missing})

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        api = self._api()
        return {"paused": [dag for dag in step.parameters["dags"] if api.paused(dag)]}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        api = self._api()
        for dag in step.parameters["dags"]:
            api.pause(dag, True)
        for dag in step.parameters["dags"] if step.parameters["fail_runs"] else []:
            for run in api.unfinished(dag):
                api.fail(dag, run)

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        """Unpause what wasn't paused before; failed runs stay failed."""
        if held_by_others(store, incident, step):
            return
        api = self._api()
        for dag in step.parameters["dags"]:
            api.pause(dag, dag in former.get("paused", step.parameters["dags"]))

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        if others := held_by_others(store, incident, step):
            return Probe(done=True, seen={"still stopped for incidents": others})
        api, were = self._api(), former.get("paused", step.parameters["dags"])
        wrong = [dag for dag in step.parameters["dags"] if api.paused(dag) is not (dag in were)]
        return Probe(done=not wrong, seen={"not as before": wrong})

    def _api(self) -> _Api:
        """Errors: WebError."""
        password = self.password.get_secret_value()
        web = Web(
            "Airflow", self.url, self.timeout, [password], "check url, username and password in the block stop-dag"
        )
        login = {"username": self.username, "password": password}
        reply = web.ask("POST", "/auth/token", json=login, takes=(404, 405))
        if reply.status in (404, 405):
            return _Api(web, "/api/v1", {}, httpx.BasicAuth(self.username, password))
        try:
            token = str(reply.json()["access_token"])
        except (ValueError, KeyError, TypeError):
            raise ActionError(web.say("gave no access token")) from None
        with_token = Web("Airflow", self.url, self.timeout, [password, token], "check the block stop-dag")
        return _Api(with_token, "/api/v2", {"Authorization": f"Bearer {token}"}, None)
