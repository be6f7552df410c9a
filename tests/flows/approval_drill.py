"""An incident whose plan waits for people, and runs of `respond` in this process, as a worker would run them."""

from contextlib import suppress
from typing import Any
from uuid import UUID

import pyotp
from cryptography.fernet import Fernet
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_sync
from prefect.input.actions import read_flow_run_input

from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.approvers import Verdict
from firebreak.detectors.findings import ActorType
from firebreak.flows.approval import form_of
from firebreak.flows.respond import respond
from firebreak.flows.triage import triage
from tests.stores import finding

KEY = Fernet.generate_key().decode()
ADA, GRACE = "Ada Lovelace", "Grace Hopper"
POLICY = """
version: 1
approval: {{expires_minutes: {minutes}, identity: {identity}}}
playbooks:
  - name: drill
    description: Refuses the actor when people agree.
    steps: [{{action: quarantine-actor, approval: {approval}}}]
"""


class Drill:
    """An incident whose plan waits for people, and runs of `respond` that ask them."""

    def __init__(
        self,
        client: SyncPrefectClient,
        store: Store,
        approval: str = "one",
        identity: str = "totp",
        minutes: float = 30,
        enrolled: tuple[str, ...] = (ADA, GRACE),
    ) -> None:
        self.client, self.store = client, store
        self.seeds = {name: store.approvers.enrol(name, KEY, "root") for name in enrolled}
        store.registers.put_policy(POLICY.format(approval=approval, identity=identity, minutes=minutes))
        # A token of unknown users: no detector holds it back before the plan does.
        one = finding("r1", actor_type=ActorType.TOKEN, actor="support-key")
        self.incident_id = store.report(Batch(findings=[one]), "guard").opened[0][0]
        triage()
        self.deployment = client.create_deployment(client.create_flow_from_name("respond"), "firebreak")
        self.run = self.start()

    def start(self) -> UUID:
        parameters = {"incident_id": self.incident_id}
        self.run = self.client.create_flow_run_from_deployment(self.deployment, parameters=parameters).id
        return self.run

    def go(self) -> StateType:
        """What a worker does: run it until it suspends or ends."""
        run = self.client.read_flow_run(self.run)
        with suppress(Pause):
            run_flow_sync(respond, run, parameters={"incident_id": self.incident_id})
        state = self.client.read_flow_run(self.run).state
        assert state
        return state.type

    def answer(self, name: str, decision: str = "approve", code: str | None = None, run: UUID | None = None) -> str:
        """Answer the form with this code, or with the one this person's authenticator shows; what Prefect says."""
        typed = {"decision": decision, "name": name, "comment": "looked at it"}
        typed |= {"code": code or self.code(name)} if code != "" else {}
        return str(self.client.resume_flow_run(run or self.run, run_input=typed).status.value)

    def code(self, name: str, steps: int = 0) -> str:
        return pyotp.TOTP(self.seeds[name]).at(self.store.now, counter_offset=steps)

    def answered(self, name: str, decision: str = "approve", code: str | None = None) -> StateType:
        assert self.answer(name, decision, code) == "ACCEPT"
        return self.go()

    @property
    def form(self) -> str:
        """What stands above the form that the run waits on."""
        run = self.client.read_flow_run(self.run)
        assert form_of(run)
        assert run.state
        place = (run.state.state_details.run_input_keyset or {})["description"]
        return str(read_flow_run_input(place, run.id))

    @property
    def asked(self) -> Any:
        (asked,) = self.store.approvals.of_incident(self.incident_id)
        return asked

    @property
    def verdicts(self) -> list[Verdict]:
        return [judged.verdict for judged in self.store.approvals.answers(self.asked.id)]

    @property
    def state(self) -> State:
        return self.store.incidents.get(self.incident_id).state
