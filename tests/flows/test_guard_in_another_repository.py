"""Somebody else's repository, with packages of its own called flows and blocks, adds the guard."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from firebreak.blocks.events import Event
from firebreak.blocks.store import State
from firebreak.deployments.system import System
from tests.deployments.simulated import simulated_model
from tests.flows.support import ATTACK, Support
from tests.waiting import until

BLOCKS = '''
"""Our own blocks."""
TEAM = "translations"
'''

FLOW = '''
"""Our own flow: translates texts."""
import sys
from blocks.team import TEAM
from prefect import flow
from firebreak.blocks.guard import Guard, GuardRefusal
from firebreak.blocks.model_endpoint import ModelEndpoint

@flow
def translate(text: str) -> str:
    guard, endpoint = Guard.load("firebreak"), ModelEndpoint.load("firebreak")
    system = f"You translate for the team {TEAM}. Reference {guard.canary()}."
    with guard.call(user="mallory", token_id="translate-key", model=endpoint.model, prompt=text) as call:
        answer = endpoint.complete(system, call.prompt)
        call.answered(answer.text, model=answer.model)
    return answer.text

if __name__ == "__main__":
    for text in sys.argv[1:]:
        try:
            print("ANSWER", translate(text))
        except GuardRefusal as refusal:
            print("REFUSED", type(refusal).__name__, refusal)
'''


def signals() -> int:
    """How many opened incidents the Prefect server has heard of."""
    with get_client(sync_client=True) as client:
        wanted = {"filter": {"event": {"name": [Event.INCIDENT_OPENED]}}, "limit": 1}
        return int(client.request("POST", "/events/filter", json=wanted).json()["total"])


@pytest.mark.integration
def test_a_few_lines_guard_it(prefect_server: System, tmp_path: Path) -> None:
    for name, text in {"blocks/team.py": BLOCKS, "flows/translate.py": FLOW, "flows/__init__.py": ""}.items():
        file = tmp_path / "theirs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "theirs" / "blocks" / "__init__.py").touch()
    server = {"PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_API_AUTH_STRING": PREFECT_API_AUTH_STRING.value()}
    with simulated_model(tmp_path) as url:
        support, heard = Support(tmp_path, url), signals()
        done = subprocess.run(
            [sys.executable, "-m", "flows.translate", "Good morning", ATTACK, "Good evening"],
            cwd=tmp_path / "theirs",
            env={**os.environ, **{key: str(value) for key, value in server.items() if value}},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith(("ANSWER", "REFUSED"))]
    assert said[0].startswith("ANSWER Thank you")
    assert said[1].startswith("REFUSED AnswerWithheld")
    assert said[2].startswith("REFUSED ActorQuarantined user 'mallory' is quarantined in workflow 'translate'")
    assert [(r.workflow, r.user, bool(r.flow_run_id), bool(r.error)) for r in support.records()] == [
        ("translate", "mallory", True, False),
        ("translate", "mallory", True, True),
        ("translate", "mallory", True, True),
    ]
    assert {incident.workflow for incident in support.store.incidents.in_states(*State)} == {"translate"}
    until(lambda: signals() > heard, 15, "the signal of the opened incident")
