"""A request for approval in a store of the test's own, and people who answer it."""

from datetime import timedelta
from itertools import count

from cryptography.fernet import Fernet
from pydantic import SecretStr

from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.approvals import Answer, Asked, Identity
from firebreak.blocks.store.approvers import Verdict
from firebreak.blocks.store.ledger import Approval, Outcome, Step, plan_digest
from tests.stores import finding

KEY = Fernet.generate_key().decode()
_sources = count()


class Request:
    """A request for approval of a stop. ``answer`` comes from a suspension of its own unless ``source`` names one."""

    def __init__(self, store: Store, actor: str, approval: Approval = "one") -> None:
        self.store = store
        self.steps = [Step(action="stop-workflow", target="answer-tickets", title="Stop", approval=approval)]
        self.incident_id = store.report(Batch(findings=[finding(actor, actor=actor)]), "guard").opened[0][0]
        self.digest = plan_digest(self.incident_id, self.steps)
        store.ledger.enter(self.incident_id, self.steps)
        for state in (State.TRIAGED, State.RESPONDING):
            store.incidents.move(self.incident_id, state, "test")
        until = store.now + timedelta(minutes=60)
        self.asked = store.approvals.ask(self.incident_id, self.digest, "run", until, 2 if approval == "two" else 1)

    def answer(
        self,
        name: str,
        code: str = "",
        decision: str = "approve",
        source: str | None = None,
        identity: Identity = "totp",
        key: str | None = KEY,
        taken_up_after: float = 0,
    ) -> Asked:
        typed = {"source": source or f"run/{next(_sources)}", "decision": decision, "name": name, "comment": "yes"}
        late = timedelta(seconds=taken_up_after)
        answer = Answer(code=SecretStr(code), typed_at=self.store.now - late, **typed)  # type: ignore[arg-type]
        steps = [step.digest(self.incident_id) for step in self.steps]
        return self.store.approvals.answer(self.incident_id, self.digest, answer, steps, identity, key)

    @property
    def verdicts(self) -> list[Verdict]:
        return [judged.verdict for judged in self.store.approvals.answers(self.asked.id)]

    @property
    def outcome(self) -> Outcome:
        return self.store.ledger.rows(self.incident_id)[0].state

    @property
    def entries(self) -> list[str]:
        return [entry.entry for entry in self.store.incidents.timeline(self.incident_id)]

    @property
    def why(self) -> str:
        return self.store.approvals.answers(self.asked.id)[-1].why
