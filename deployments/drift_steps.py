"""The demo's second half: the world of the tickets changes, a retrained router goes live, and a bad one goes back.

Steps like those of ``steps.py``: each does one thing and looks for itself whether it worked.
"""

from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType

from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.store import Incident, JudgedWindow, Retraining, RetrainingState, State
from firebreak.blocks.store.ledger import Outcome, Row
from firebreak.deployments import demo_tickets, probes, steps
from firebreak.deployments.bootstrap import DATASET
from firebreak.deployments.scenario import WORKFLOW, Scenario, StepBroken
from firebreak.detectors.findings import ActorType
from firebreak.flows import router
from firebreak.flows.shared import load_block

SCAN = f"scan-drift/{DATASET}"
BATCH = 200  # tickets of one run
WINDOW, REFERENCE, PERIOD = 60, 120, 120  # rows: the demo's windows are small, so that it ends while somebody looks on
PATIENCE = 180.0  # a retraining trains, tests and registers a model


def usual(s: Scenario) -> None:
    """Ordinary tickets: the first of them become the reference, and the windows after it show no drift."""
    s.forget_attack()
    _answered(s, demo_tickets.ordinary(REFERENCE + PERIOD, seed=1))
    _scan(s)
    reference, windows = s.store.drift.reference(DATASET), s.store.drift.windows(DATASET)
    if reference is None or len(windows) < PERIOD // WINDOW:
        raise StepBroken(f"no reference was put in force, or too few windows were judged: {len(windows)}")
    if windows[-1].confirmed:
        raise StepBroken(f"ordinary tickets count as drift: {windows[-1].confirmed}")
    s.accuracy["ordinary tickets, version before"] = _accuracy(windows[-1])
    s.say(
        f"  reference version {reference.version}: {reference.rows} rows; {len(windows)} windows of {WINDOW}: no drift"
    )


def shift(s: Scenario) -> None:
    """Customers write about a new product, in words the router never saw. People still file the tickets."""
    _answered(s, demo_tickets.shifted(PERIOD, seed=2))
    s.say(f"  {PERIOD} tickets about the voice assistant, answered and filed by people")


def drift(s: Scenario) -> None:
    """The scan sees it persist, one incident is opened, and its cause is named: the population changed."""
    before = len(s.store.drift.windows(DATASET))
    _scan(s)
    windows = s.store.drift.windows(DATASET)
    incident = _incident(s)
    if incident is None:
        raise StepBroken(f"no incident of {DATASET}; windows judged: {len(windows) - before}")
    s.incident_id = incident.id
    drifted = [name for name in windows[-1].confirmed if windows[-1].drifted.get(name)]
    s.accuracy["new tickets, version before"] = _accuracy(windows[-1])
    s.say(f"  incident {incident.id}: {incident.title}\n  confirmed: {', '.join(drifted)}")
    page = s.wait(lambda: probes.artifact(f"drift-{DATASET}"), "the dataset's page")
    s.say(f"  scores over windows: {s.system.ui_url}/artifacts/artifact/{page}")


def cause(s: Scenario) -> None:
    """Both versions were scored on the window; the incident carries the verdict and its reasons."""
    verdict = s.store.drift.windows(DATASET)[-1].cause or {}
    if s.incident.cause != "population":
        raise StepBroken(f"the cause is {s.incident.cause}, not population: {verdict.get('reasons')}")
    s.say(f"  cause: {s.incident.cause}")
    for reason in verdict["reasons"][:3]:
        s.say(f"  {reason}")


def retrain(s: Scenario) -> None:
    """An automation started the retraining; a candidate was trained, registered, and passed the gate."""

    def ended() -> Retraining | None:
        made = s.store.retrainings.of_incident(s.incident_id)
        return made[-1] if made and not made[-1].open else None

    done = s.wait(ended, "the end of the retraining", max(s.patience, PATIENCE) if s.patience >= 60 else s.patience)
    if done.state is not RetrainingState.HANDED_OVER:
        raise StepBroken(f"the retraining is {done.state}: {str(done.detail)[-300:]}")
    s.say(
        f"  candidate: version {done.detail['version']}; the gate: {'; '.join(done.detail['verdict']['reasons'])}"[:400]
    )


def promote(s: Scenario) -> None:
    """The approved candidate is the champion, a probe saw it, and the reference is a new one."""
    ended = s.wait(lambda: _ended(s), "the end of the promotion's plan")
    if ended.state not in (State.CONTAINED, State.RESOLVED):
        raise StepBroken(f"the promotion's plan ended in {ended.state}: {_why(s)}")
    row = _row(s, "promote-model")
    champion = _registry().champion_number()
    if row.state is not Outcome.SUCCEEDED or champion != str(row.parameters["to"]):
        raise StepBroken(f"the promotion is {row.state}, the champion is version {champion}")
    reference = s.store.drift.reference(DATASET)
    if reference is None or reference.version < 2:
        raise StepBroken("the reference was not renewed")
    s.say(f"  champion: version {champion}; reference version {reference.version} in force ({reference.why[:60]})")


def regain(s: Scenario) -> None:
    """The new version answers new tickets well, the dataset is as its reference again, and the incident ends."""
    _answered(s, demo_tickets.shifted(PERIOD, seed=3))
    _scan(s)
    window = s.store.drift.windows(DATASET)[-1]
    before = s.accuracy["new tickets, version before"]
    now = s.accuracy["new tickets, promoted version"] = _accuracy(window)
    if now <= before:
        raise StepBroken(f"accuracy on new tickets was {before:.2f} and is {now:.2f}")
    s.wait(lambda: s.incident.state is State.RESOLVED, "the incident resolved by the recovered dataset")
    s.say(f"  accuracy on new tickets: {before:.2f} before, {now:.2f} now; incident {s.incident_id} resolved by itself")


def worsen(s: Scenario) -> None:
    """Somebody puts a bad version in force, past every gate: its labels were mixed up."""
    registry = _registry()
    champion = registry.champion_number()
    tickets = demo_tickets.shifted(200, seed=4) + demo_tickets.ordinary(100, seed=5)
    labels = [ticket["feedback"] for ticket in tickets]
    mixed = {
        label: other for label, other in zip(sorted({*labels}), [*sorted({*labels})[1:], min(labels)], strict=True)
    }
    model = router.train([ticket["text"] for ticket in tickets], [mixed[label] for label in labels])
    bad = registry.register(model, parameters={"rows": len(tickets)}, metrics={}, tags={"made.by": "the demo"})
    registry.set_champion(bad.number, champion)
    s.champion_before = str(champion)
    _answered(s, demo_tickets.shifted(PERIOD, seed=6))
    s.say(f"  version {bad.number} replaced version {champion}; {PERIOD} more tickets were routed by it")


def blame(s: Scenario) -> None:
    """The scan finds it, and the cause is the model: the version before is better on the very same tickets."""
    _scan(s)
    incident = _incident(s)
    if incident is None:
        raise StepBroken(f"no incident of {DATASET} after the bad version")
    s.incident_id = incident.id
    window = s.store.drift.windows(DATASET)[-1]
    if incident.cause != "model":
        raise StepBroken(f"the cause is {incident.cause}, not model: {(window.cause or {}).get('reasons')}")
    s.accuracy["new tickets, bad version"] = _accuracy(window)
    s.say(f"  incident {incident.id}: {incident.title}; cause: {incident.cause}")


def roll_back(s: Scenario) -> None:
    """The version before is the champion again; a probe saw it."""
    ended = s.wait(lambda: _ended(s), "the end of the roll-back's plan")
    champion = _registry().champion_number()
    if ended.state is not State.CONTAINED or champion != s.champion_before:
        raise StepBroken(f"the plan ended in {ended.state}, the champion is version {champion}: {_why(s)}")
    _answered(s, demo_tickets.shifted(WINDOW, seed=7))
    records = s.log.recent(until=s.store.now, since=s._began_at)[-WINDOW:]
    right = [record.router_label == record.feedback for record in records if record.feedback]
    s.accuracy["new tickets, rolled back"] = sum(right) / max(1, len(right))
    s.say(f"  champion: version {champion} again; accuracy {s.accuracy['new tickets, rolled back']:.2f}")


def _answered(s: Scenario, tickets: list[dict[str, str]]) -> None:
    """Run the deployed workflow on these tickets, one run a batch. They must all be answered."""
    before = sum(1 for record in _records(s) if record.response)
    for start in range(0, len(tickets), BATCH):
        run = s.tickets(tickets[start : start + BATCH])
        if run.state is None or run.state.type is not StateType.COMPLETED:
            raise StepBroken(f"the tickets' run ended {run.state and run.state.name}")
        s.say(f"  {min(start + BATCH, len(tickets))} of {len(tickets)} tickets answered")
    answered = sum(1 for record in _records(s) if record.response) - before
    if answered < len(tickets):
        raise StepBroken(f"{len(tickets)} tickets were sent, {answered} were answered")


def _records(s: Scenario) -> list[Any]:
    return [r for r in s.log.recent(until=s.store.now, since=s._began_at) if r.workflow == WORKFLOW]


def _scan(s: Scenario) -> None:
    """One drift scan now: the schedule is paused, so that the demo says when. A scan still at work is let finish."""
    with get_client(sync_client=True) as client:
        client.pause_deployment(client.read_deployment_by_name(SCAN).id)
    s.say("  scanning for drift …")
    run = _scanned(s)
    while run.state is not None and run.state.type is StateType.CANCELLED:
        run = _scanned(s)  # the deployment runs one scan at a time
    if run.state is None or run.state.type is not StateType.COMPLETED:
        raise StepBroken(f"the drift scan ended {run.state and run.state.name}: {run.state and run.state.message}")


def _scanned(s: Scenario) -> FlowRun:
    run_id = probes.start(SCAN, {"dataset": DATASET})
    return s.wait(lambda: s.ended(run_id), "the end of the drift scan", max(s.patience, PATIENCE))


def _incident(s: Scenario) -> Incident | None:
    return next((i for i in s.store.incidents.in_states() if i.actor_type is ActorType.DATASET), None)


def _ended(s: Scenario) -> Incident | None:
    waiting = (State.OPEN, State.TRIAGED, State.RESPONDING, State.AWAITING_APPROVAL)
    return None if s.incident.state in waiting else s.incident


def _row(s: Scenario, action: str) -> Row:
    rows = [row for row in s.store.ledger.rows(s.incident_id) if row.action == action and not row.undo_of]
    if not rows:
        raise StepBroken(f"the ledger has no {action} for incident {s.incident_id}")
    return rows[-1]


def _why(s: Scenario) -> str:
    return str([e.detail.get("why") for e in s.store.incidents.timeline(s.incident_id) if e.entry == "plan-ended"][-1:])


def _accuracy(window: JudgedWindow) -> float:
    now = window.verdict["performance"][1]
    if not now:
        raise StepBroken("the window has no labels")
    return float(now["accuracy"])


def _registry() -> ModelRegistry:
    return load_block(ModelRegistry)


STEPS: dict[str, Callable[[Scenario], None]] = {
    "usual": usual,
    "shift": shift,
    "drift": drift,
    "cause": cause,
    "retrain": retrain,
    "ask-promotion": steps.ask,
    "approve-promotion": steps.approve,
    "promote": promote,
    "regain": regain,
    "worsen": worsen,
    "blame": blame,
    "roll-back": roll_back,
}
