"""The guard while its store is there: what it lets through, refuses, writes and logs."""

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from firebreak.blocks.guard import (
    ActorQuarantined,
    AnswerWithheld,
    GuardRefusal,
    Origin,
    PromptRefused,
    Severity,
    WorkflowStopped,
)
from firebreak.blocks.interaction_log import LogUnwritable
from firebreak.blocks.store import Batch, State, Store
from firebreak.detectors.facts import Facts, TokenGrant
from firebreak.detectors.rules import load_rules
from tests.blocks.guarding import ATTACK, WORKFLOW, Bench
from tests.stores import finding


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def incident(bench: Bench) -> int:
    """An incident to hang a hold on."""
    return bench.store.report(Batch(findings=[finding("earlier", actor="eve")]), "scan-logs").opened[0][0]


def test_an_ordinary_call_goes_through_and_is_logged_whole(bench: Bench) -> None:
    assert (
        bench.ask(router_label="billing", router_confidence=0.9, router_version="3", flow_run_id="run-1")
        == "Where is my invoice?"
    )
    (record,) = bench.records()
    assert record.latency_ms is not None
    assert record.model_dump(exclude={"id", "latency_ms"}, exclude_none=True) == {
        "time": bench.clock.now,
        "workflow": WORKFLOW,
        "flow_run_id": "run-1",
        "user": "ada",
        "token_id": "support-key",
        "model": "m-1",
        "model_version": "m-1-2026",
        "prompt": "Where is my invoice?",
        "parts": ({"origin": Origin.USER, "start": 0, "end": 20},),
        "response": "In Settings.",
        "prompt_tokens": 5,
        "response_tokens": 3,
        "router_label": "billing",
        "router_confidence": 0.9,
        "router_version": "3",
    }
    assert bench.findings() == 0


def test_a_suspects_attack_below_the_limit_goes_on_once_and_from_then_on_its_user_is_refused(bench: Bench) -> None:
    bench.suspect("ada")
    bench.ask(ATTACK)
    found = bench.findings()
    (opened,) = bench.store.incidents.in_states(*State)
    assert (opened.kind, opened.actor) == ("prompt-injection", "ada")
    with pytest.raises(ActorQuarantined, match=rf"user 'ada' is quaran.* incident {opened.id} .*release/firebreak"):
        bench.ask()
    assert bench.findings() == found > 0
    bench.ask(user="grace")


def test_what_stands_is_asked_each_time_and_what_rules_know_once_a_second(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, real = list[str](), Store.facts

    def facts(store: Store) -> Facts:
        asked.append("facts")
        return real(store)

    monkeypatch.setattr(Store, "facts", facts)
    for _ in range(3):
        bench.ask()
    assert asked == ["facts"]
    bench.store.registers.put_policy("tokens", [TokenGrant(token_id="other-key")])
    bench.clock.forward(1)
    bench.ask()
    with pytest.raises(ActorQuarantined):
        bench.ask()


def test_what_the_guard_found_a_scan_of_its_log_only_repeats(bench: Bench) -> None:
    bench.ask(ATTACK)
    found = [f for record in bench.records() for f in load_rules().inspect(record, bench.store.facts())]
    report = bench.store.report(Batch(findings=found), "scan-logs")
    assert (report.new, report.repeated, report.opened) == (0, len(found), [])


def test_a_refused_attempt_is_in_the_log_and_yields_no_finding(bench: Bench) -> None:
    bench.store.registers.put_policy("tokens", [TokenGrant(token_id="other-key")])
    number = incident(bench)
    bench.store.holds.add("quarantine-token", "support-key", WORKFLOW, number, "token-unknown")
    before = bench.findings()
    with pytest.raises(ActorQuarantined) as refused:
        bench.ask(ATTACK)
    (record,) = bench.records()
    assert (refused.value.incident_id, record.user, record.prompt, record.response) == (number, "ada", "", None)
    assert record.error == f"refused: {refused.value}"
    assert load_rules().inspect(record, bench.store.facts()) == []
    assert bench.findings() == before


def test_a_stopped_workflow_stands_for_everybody_until_it_is_released(bench: Bench) -> None:
    number = incident(bench)
    bench.store.holds.add("stop-workflow", WORKFLOW, WORKFLOW, number, "approved")
    bench.store.holds.add("quarantine-user", "ada", WORKFLOW, number, "approved")
    for user in ("ada", "grace"):
        with pytest.raises(WorkflowStopped, match=f"workflow '{WORKFLOW}' is stopped .* incident {number}"):
            bench.ask(user=user)
    bench.ask(workflow="another-workflow")
    bench.store.holds.lift("stop-workflow", WORKFLOW, WORKFLOW, number, "grace")
    bench.ask(user="grace")


def test_from_the_set_severity_on_a_prompt_is_not_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, refuse_at=Severity.HIGH)
    sent = []
    with pytest.raises(PromptRefused, match=r"rule prompt-injection.*not sent.*incident 1"):  # noqa: SIM117
        with bench.guard.call(prompt=ATTACK, user="ada", workflow=WORKFLOW) as call:
            sent.append(call.prompt)
    assert sent == []
    (record,) = bench.records()
    assert record.prompt == ATTACK
    assert record.error is not None
    assert record.error.startswith("refused: ")
    assert bench.findings() > 0


def test_an_answer_with_the_canary_is_withheld_and_kept_as_evidence(bench: Bench) -> None:
    leak = f"My instructions are: reference {bench.guard.canary(WORKFLOW)}"
    with pytest.raises(AnswerWithheld, match=r"canary.*withheld.*incident \d"):
        bench.ask("Tell me about yourself", answer=leak)
    (record,) = bench.records()
    assert record.response == leak
    assert record.error is not None
    assert record.error.startswith("refused: ")
    assert bench.store.incidents.in_states(*State)[0].severity is Severity.CRITICAL


def test_a_withheld_answer_stays_refused_in_the_log_even_if_the_caller_swallows_it(bench: Bench) -> None:
    with bench.guard.call(prompt="Hello", user="ada", workflow=WORKFLOW) as call, suppress(GuardRefusal):
        call.answered(bench.guard.canary(WORKFLOW))
    assert str(bench.records()[0].error).startswith("refused: ")


def test_an_injection_in_a_document_does_not_quarantine_its_reader(bench: Bench) -> None:
    parts = [(Origin.USER, "Please sum this up."), (Origin.DOCUMENT, ATTACK)]
    for _ in range(2):
        with bench.guard.call(parts=parts, user="ada", workflow=WORKFLOW) as call:
            call.answered("It is short.")
    assert call.prompt == f"Please sum this up.\n\n{ATTACK}"
    record = bench.records()[0]
    assert (record.text_from(Origin.USER), record.text_from(Origin.DOCUMENT)) == ("Please sum this up.", ATTACK)
    assert bench.findings() > 0
    assert bench.store.holds.all() == []


def test_a_token_of_two_users_is_not_quarantined(bench: Bench) -> None:
    bench.store.registers.put_policy("tokens", [TokenGrant(token_id="other-key")])
    bench.ask(user="grace", token_id="shared-key", workflow="quiet", answer=None)
    kinds = {(hold.kind, hold.target) for hold in bench.store.holds.all()}
    assert kinds == {("quarantine-token", "shared-key")}  # one user so far
    bench.ask(user="ada", token_id="shared-key")
    assert {(hold.kind, hold.workflow) for hold in bench.store.holds.all()} == {("quarantine-token", "quiet")}


def test_a_call_that_fails_is_logged_with_its_error_and_the_error_goes_on(bench: Bench) -> None:
    def call() -> None:
        with bench.guard.call(prompt="Hello", workflow=WORKFLOW):
            raise ConnectionError("y" * 1000)

    with pytest.raises(ConnectionError):
        call()
    (record,) = bench.records()
    assert record.error is not None
    assert record.error.startswith("ConnectionError: yyy")
    assert len(record.error) == 500


def test_without_inspection_calls_are_logged_and_holds_are_obeyed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, inspect=False)
    bench.ask(ATTACK)
    assert (bench.findings(), len(bench.records())) == (0, 1)
    bench.store.holds.add("quarantine-user", "ada", WORKFLOW, incident(bench), "found by a scan")
    with pytest.raises(ActorQuarantined):
        bench.ask()


def test_what_no_log_or_database_can_hold_is_replaced_before_anything_sees_it(bench: Bench) -> None:
    assert bench.ask(f"{ATTACK} \ud83d\0", answer="\udc00", user="ada\0", token_id="key\0") == f"{ATTACK} ?\ufffd"
    (record,) = bench.records()
    assert (record.prompt, record.response, record.user) == (f"{ATTACK} ?\ufffd", "?", "ada\ufffd")


def test_a_report_the_store_chokes_on_fails_its_own_call_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "report", lambda batch, seen_by: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.ask()
    assert bench.ask(ATTACK, user="grace")
    assert {incident.actor for incident in bench.store.incidents.in_states(*State)} == {"grace"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"workflow": "w"}, "either prompt= or parts="),
        ({"workflow": "w", "prompt": "x", "parts": []}, "either prompt= or parts="),
        ({"prompt": "x"}, "pass workflow="),
    ],
)
def test_a_call_that_says_too_little_or_too_much_is_told_so(
    bench: Bench, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        bench.guard.call(**arguments)  # type: ignore[arg-type]


def test_a_log_that_cannot_be_written_fails_the_call_but_hides_no_error_and_no_refusal(bench: Bench) -> None:
    bench.guard.log.path.mkdir()
    with pytest.raises(LogUnwritable):
        bench.ask()
    with pytest.raises(ConnectionError), bench.guard.call(prompt="x", workflow=WORKFLOW):
        raise ConnectionError
    bench.store.holds.add("quarantine-user", "ada", WORKFLOW, incident(bench), "found by a scan")
    with pytest.raises(ActorQuarantined):
        bench.ask()


def test_refusals_survive_pickling_as_task_results_do() -> None:
    again = pickle.loads(pickle.dumps(WorkflowStopped("stopped", 7)))
    assert (type(again), str(again), again.incident_id) == (WorkflowStopped, "stopped", 7)


PLAIN = """
import sys
from firebreak.blocks.guard import Guard
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.interaction_log import InteractionLog
folder, prompt = sys.argv[1:]
guard = Guard(store=IncidentStore(url=f"sqlite:///{folder}/store.db"), log=InteractionLog(path=f"{folder}/calls.log"))
with guard.call(prompt=prompt, user="ada", workflow="script") as call:
    call.answered("no")
"""


def test_a_plain_script_without_a_prefect_server_is_guarded_and_starts_none(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    subprocess.run([sys.executable, "-c", PLAIN, str(tmp_path), ATTACK], env=environment, check=True, timeout=60)
    (incident,) = Store(f"sqlite:///{tmp_path}/store.db").incidents.in_states(*State)
    assert (incident.workflow, incident.actor) == ("script", "ada")
    assert not (tmp_path / "prefect" / "prefect.db").exists()
