"""The whole loop on a real system: each step is seen to break under its sabotage, and to work once that is undone."""

from pathlib import Path

import pytest

from firebreak.blocks.store import State
from firebreak.blocks.store.approvals import Asked, Decision
from firebreak.blocks.store.ledger import Outcome
from firebreak.deployments import probes
from firebreak.deployments.sabotage import SABOTAGES
from firebreak.deployments.scenario import Scenario
from firebreak.deployments.steps import STEPS
from firebreak.deployments.system import System
from tests.end_to_end import browser
from tests.end_to_end.play import Play
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

COMMENT = "{{ 6*7 }} <script>document.title = 'owned'</script> looked at it"


def test_every_step_works_and_breaks_when_sabotaged(system: System, tmp_path: Path) -> None:
    scenario = Scenario(system, print, person_seconds=0, patience=240)
    play = Play(scenario, STEPS, SABOTAGES)
    scenario.attacker = "mallory"
    finding_and_triage(play)
    approving(play)
    scenario.attacker = "trudy"
    answering(play, tmp_path / "form.png")
    standing_and_releasing(play)
    assert play.shown == set(SABOTAGES)


def finding_and_triage(play: Play) -> None:
    """From the ordinary ticket to the request for approval, on an attacker whose quarantine was forgotten."""
    play.sabotage("answer")
    play.breaks("answer", "the run ended Failed")
    play.undo("answer")
    play.works("answer")

    play.sabotage("attack", "find")
    play.breaks("attack", "was not withheld")
    play.undo("attack")
    play.sabotage("contain", "triage")
    play.works("attack")
    play.breaks("find", "the log scan's finding", patience=4)
    play.undo("find")
    probes.start("scan-logs/interaction-log", {})  # a minute sooner than its schedule
    play.works("find")
    play.breaks("contain", "no quarantine")
    play.undo("contain")

    play.breaks("triage", "triage of the incident", patience=10)
    play.sabotage("ask")
    play.undo("triage")
    play.works("triage")
    play.breaks("ask", "the request for approval", patience=12)
    play.undo("ask")
    play.works("ask")


def approving(play: Play) -> None:
    """A person cancels the run that asks: the request ends, and the incident waits for no one for ever."""
    scenario = play.scenario
    play.sabotage("approve")
    play.breaks("approve", "the request for approval")
    until(lambda: scenario.incident.state is State.NEEDS_PERSON, 240, "the cancelled request is settled", every=0.2)
    (asked,) = scenario.store.approvals.of_incident(scenario.incident_id)
    assert asked.decision is Decision.CANCELLED
    rows = [row for row in scenario.store.ledger.rows(scenario.incident_id) if row.approval != "auto"]
    # The quarantine that the store forgot was asked for as well.
    assert [(row.action, row.state) for row in rows] == [
        ("quarantine-actor", Outcome.REFUSED),
        ("stop-workflow", Outcome.REFUSED),
    ]


def answering(play: Play, picture: Path) -> None:
    """A fresh attacker is contained at once; the form is answered in Chromium; a failed stop is mended and repeated."""
    scenario = play.scenario
    seed = identified(scenario, "Ada Lovelace")
    play.works("attack", "find", "contain")
    play.sabotage("refuse")
    play.breaks("refuse", "was not refused")
    play.undo("refuse")
    play.works("refuse", "triage", "ask")

    def in_chromium(scenario: Scenario, asked: Asked) -> None:
        digest = asked.plan_digest
        shows = [row.title for row in scenario.store.ledger.rows(scenario.incident_id)]
        shows += [digest[at : at + 16] for at in range(0, len(digest), 16)]
        with browser.page() as page:
            url = scenario.run_url(asked.runs[-1])
            browser.answer_form(page, url, shows, "approve", "Ada Lovelace", COMMENT, seed, picture)
            assert page.title() != "owned"

    scenario.approve = in_chromium
    play.sabotage("stop")
    play.works("approve")
    (asked,) = scenario.store.approvals.of_incident(scenario.incident_id)
    assert (asked.decided_by, asked.comment) == ("Ada Lovelace", COMMENT)
    assert picture.stat().st_size > 10_000
    play.breaks("stop", "needs-person.*stop-workflow can't be loaded")

    play.undo("stop")
    probes.start("triage/firebreak", {"again": scenario.incident_id})
    until(lambda: scenario.incident.state is not State.NEEDS_PERSON, 240, "triage again", every=0.2)
    play.works("stop")  # by the approval that was given: the plan and its digest are the same
    assert len(scenario.store.approvals.of_incident(scenario.incident_id)) == 1
    page_shows_comment_as_text(scenario)


def identified(scenario: Scenario, name: str) -> str:
    """From now on approvers are known by their codes, and this one is enrolled; the seed."""
    policy, tokens = scenario.store.registers.policy() or "", list((scenario.store.facts().tokens or {}).values())
    scenario.store.registers.put_policy(policy.replace("\n  identity: none\n", "\n  identity: totp\n"), tokens)
    return scenario.store.approvers.enrol(name, scenario.system.home.approver_key(), "test")


def page_shows_comment_as_text(scenario: Scenario) -> None:
    artifact = probes.artifact(f"incident-{scenario.incident_id}")
    with browser.page() as page:
        page.goto(f"{scenario.system.ui_url}/artifacts/artifact/{artifact}")
        page.get_by_text(COMMENT).wait_for()
        assert page.title() != "owned"


def standing_and_releasing(play: Play) -> None:
    """The stop stands against a deploy, everything is undone, and the workflow answers again."""
    play.works("redeploy")
    play.sabotage("withstand")
    play.breaks("withstand", "the stop re-asserted", patience=40)
    play.undo("withstand")
    play.works("withstand")

    play.sabotage("release")
    play.breaks("release", "the release ended Failed")
    play.undo("release")
    play.works("release")

    play.sabotage("resume")
    play.breaks("resume", "after the release the run ended Failed")
    play.undo("resume")
    play.works("resume")
