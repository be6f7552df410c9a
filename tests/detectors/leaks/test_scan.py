"""Leaks as the fast scan finds them: the same as judging every line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firebreak.detectors.facts import Facts
from firebreak.detectors.leaks.fingerprints import fingerprint
from firebreak.detectors.parsing import LineParser
from firebreak.detectors.rules import load_rules
from firebreak.detectors.scan.lines import LineScan
from tests.detectors.leaks.numbers import CREDENTIALS, cards, grouped, ibans
from tests.detectors.leaks.test_fingerprints import PROMPT, WORDS

RULES = load_rules()
FACTS = Facts(system_prompts={"told": known} if (known := fingerprint(PROMPT)) else {})
LEAKS = {"credential-in-response", "personal-data-in-response", "system-prompt-in-response"}

WORD = st.sampled_from(["yes", "no,", "é", "\n", '"', "\\", "2027", "order", "\ud800", "\0", "/", "é.", "🙂"])
LEAK = st.one_of(
    *CREDENTIALS.values(),
    cards(),
    cards().map(lambda card: grouped(card, " ")),
    ibans(),
    st.integers(0, len(WORDS) - 5).map(lambda at: " ".join(WORDS[at : at + 40])),
)
TEXT = st.lists(WORD | LEAK, max_size=6).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.sampled_from(["told", "untold"]), st.booleans()), max_size=5))
def test_the_fast_scan_finds_what_judging_every_line_finds(calls: list[tuple[str, str, str, bool]]) -> None:
    lines = [
        json.dumps(
            {
                "id": str(number),
                "time": "2026-05-01T12:00:00Z",
                "workflow": workflow,
                "prompt": prompt,
                "response": answer,
            },
            ensure_ascii=ascii,
        ).encode("utf-8", "replace")
        for number, (prompt, answer, workflow, ascii) in enumerate(calls)
    ]
    found = []
    for fast in (True, False):
        scan = LineScan(RULES, LineParser("json", {}, "unnamed"), "log", fast=fast)
        scan.know(FACTS)
        scan.scan(b"\n".join(lines), 0, "log")
        found.append([one.model_dump(mode="json") for one in scan.take().findings])
    assert found[0] == found[1]


@pytest.mark.parametrize(("workflow", "rules"), [("told", {"system-prompt-in-response"}), ("untold", set())])
def test_the_system_prompt_is_looked_for_in_its_own_workflow(workflow: str, rules: set[str]) -> None:
    line = {"id": "1", "time": "2026-05-01T12:00:00Z", "workflow": workflow, "prompt": "?", "response": PROMPT}
    scan = LineScan(RULES, LineParser("json", {}, "unnamed"), "log")
    scan.know(FACTS)
    scan.scan(json.dumps(line).encode(), 0, "log")
    assert {finding.rule for finding in scan.take().findings} & LEAKS == rules
