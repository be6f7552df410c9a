"""How a request for approval stands, in sentences: for the form and for the incident's page."""

import os

from firebreak.blocks.store import Store
from firebreak.blocks.store.approvals import Asked
from firebreak.blocks.store.approvers import KEY_VARIABLE, Verdict
from firebreak.flows.markdown import inline
from firebreak.flows.policy import load_policy


def approver_key() -> str | None:
    """What the approvers' seeds are encrypted with; only the worker's environment has it."""
    return os.environ.get(KEY_VARIABLE)


def standing(store: Store, asked: Asked) -> list[str]:
    """Markdown lines: what keeps answers from counting, who has approved, and why the last answer did not count."""
    lines, identity = [], load_policy(store).approval.identity
    if identity == "none":
        lines.append("Whoever answers stays **unidentified**: the policy's `approval.identity` is `none`.")
    elif obstacle := store.approvers.obstacle(approver_key(), asked.needed):
        lines.append(f"**No answer can count yet:** {obstacle}.")
    answers = store.approvals.answers(asked.id)
    given = [f"{inline(a.by)} at {a.at:%H:%M:%S} UTC" for a in store.approvals.given(asked.id, identity)]
    if asked.needed > 1:
        lines.append(f"Approved by {len(given)} of {asked.needed} people{': ' + ', '.join(given) if given else ''}.")
    if answers and answers[-1].verdict is not Verdict.COUNTED:
        lines.append(f"**The last answer did not count:** {inline(answers[-1].why, 300)}.")
    return lines
