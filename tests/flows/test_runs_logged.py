"""The log scan tells the store which flow runs it has read records of."""

from pathlib import Path

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Store
from firebreak.detectors.records import Record
from firebreak.detectors.rules import load_rules
from firebreak.flows.scanning import Scanner
from tests.stores import START


def test_runs_are_noted_with_the_position(store: Store, tmp_path: Path) -> None:
    log = InteractionLog(path=tmp_path / "calls.jsonl")
    for run in ("run-1", None, "run-2"):
        log.append(Record(time=START, workflow="answer-tickets", flow_run_id=run, prompt="Hello", response="Hello."))
    with store.lease(f"scan:{log.source}", "a run") as lease:
        assert lease
        scanner = Scanner(store, log, load_rules(), lease)
        while not scanner.step().at_end:
            pass
    assert store.watch.logged(["run-1", "run-2", "run-3"]) == {"run-1", "run-2"}
    assert store.watch.names_runs("answer-tickets")
