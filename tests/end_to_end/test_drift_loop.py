"""The drift loop on a real system: each step is seen to break under its sabotage, and to work once that is undone."""

import pytest

from firebreak.blocks.store import RetrainingState, State
from firebreak.blocks.store.approvals import Decision
from firebreak.deployments import probes
from firebreak.deployments.drift_sabotage import SABOTAGES
from firebreak.deployments.drift_steps import STEPS
from firebreak.deployments.scenario import Scenario
from firebreak.deployments.system import System
from tests.end_to_end.play import Play
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


def test_every_step_works_and_breaks_when_sabotaged(system: System) -> None:
    scenario = Scenario(system, print, person_seconds=0, patience=240)
    retrain_at_will(scenario)
    play = Play(scenario, STEPS, SABOTAGES)
    finding(play)
    promoting(play)
    rolling_back(play)
    assert play.shown == set(SABOTAGES)


def retrain_at_will(scenario: Scenario) -> None:
    """The shipped policy without its cooldown: here one retraining follows the other."""
    text = scenario.store.registers.policy() or ""
    changed = text.replace("cooldown_minutes: 60", "cooldown_minutes: 0").replace("per_week: 3", "per_week: 30")
    assert changed != text
    scenario.store.registers.put_policy(changed, list((scenario.store.facts().tokens or {}).values()))


def finding(play: Play) -> None:
    """From the ordinary tickets to the cause."""
    play.sabotage("usual")
    play.breaks("usual", "the tickets' run ended Failed")
    play.undo("usual")
    play.works("usual")
    play.sabotage("shift")
    play.breaks("shift", "the tickets' run ended Failed")
    play.undo("shift")
    play.works("shift")

    play.sabotage("drift")
    play.breaks("drift", "no incident of support-tickets")
    play.undo("drift")
    play.sabotage("cause", "retrain")
    play.works("drift")
    play.breaks("cause", "the cause is None, not population")
    play.undo("cause")
    play.scenario.store.incidents.set(play.scenario.incident_id, cause="population")
    until(lambda: play.scenario.incident.triage is not None, 240, "triage of the incident without a cause", every=0.2)
    again(play)
    play.works("cause")


def again(play: Play) -> None:
    """Triage the incident once more, now that it has a cause."""
    scenario = play.scenario
    until(lambda: scenario.incident.state in (State.TRIAGED, State.CONTAINED), 240, "watched only", every=0.2)
    scenario.store.incidents.move(scenario.incident_id, State.OPEN, "test")
    probes.start("triage/firebreak", {})


def promoting(play: Play) -> None:
    """The retraining, its approval cancelled and asked anew, its promotion without its action, and at last with it."""
    scenario = play.scenario
    retrainings = scenario.store.retrainings
    until(lambda: retrainings.of_incident(scenario.incident_id), 240, "the request for a retraining", every=0.2)
    play.breaks("retrain", "the end of the retraining", patience=15)
    (asked,) = scenario.store.retrainings.of_incident(scenario.incident_id)
    assert (asked.state, asked.attempts) == (RetrainingState.REQUESTED, 0)  # asked for, and no run has taken it
    play.sabotage("ask-promotion")
    play.undo("retrain")
    play.works("retrain")
    play.breaks("ask-promotion", "the request for approval", patience=12)
    assert scenario.store.approvals.of_incident(scenario.incident_id) == []
    play.undo("ask-promotion")
    play.works("ask-promotion")

    play.sabotage("approve-promotion")
    play.breaks("approve-promotion", "the request for approval")
    until(lambda: scenario.incident.state is State.NEEDS_PERSON, 240, "the cancelled request is settled", every=0.2)
    assert scenario.store.approvals.of_incident(scenario.incident_id)[-1].decision is Decision.CANCELLED
    ask_again(play)
    play.works("retrain", "ask-promotion")
    play.sabotage("promote")
    play.works("approve-promotion")
    play.breaks("promote", "needs-person.*promote-model can't be loaded")
    play.undo("promote")
    ask_again(play)
    play.works("retrain", "ask-promotion", "approve-promotion", "promote")
    play.sabotage("regain")
    play.breaks("regain", "the tickets' run ended Failed")
    play.undo("regain")
    play.works("regain")


def ask_again(play: Play) -> None:
    """What a person does once what stopped the plan is mended."""
    stuck = play.scenario.incident.state
    probes.start("triage/firebreak", {"again": play.scenario.incident_id})
    until(lambda: play.scenario.incident.state is not stuck, 240, "triage again", every=0.2)


def rolling_back(play: Play) -> None:
    """A bad version is found by its window and taken back, without anybody being asked."""
    play.sabotage("worsen")
    play.breaks("worsen", "the tickets' run ended Failed")
    play.undo("worsen")
    play.works("worsen")
    play.sabotage("blame")
    play.breaks("blame", "no incident of support-tickets")
    play.undo("blame")
    play.sabotage("roll-back")
    play.works("blame")
    play.breaks("roll-back", "the plan ended in contained, the champion is version")
    play.undo("roll-back")
    ask_again(play)
    play.works("roll-back")
