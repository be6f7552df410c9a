"""The router on the shipped tickets and on tickets it has not seen."""

import subprocess
import sys
from collections import Counter

import pytest

from firebreak.flows.router import read_tickets, route


def test_the_shipped_tickets_are_enough_and_balanced() -> None:
    texts, labels = read_tickets()
    assert Counter(labels) == {"billing": 30, "access": 30, "bug": 30, "how-to": 30}
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I was charged for two subscriptions, please refund one payment", "billing"),
        ("I cannot sign in, the password reset mail never came", "access"),
        ("The app crashes with an error after the update", "bug"),
        ("How do I export a list of my tasks?", "how-to"),
    ],
)
def test_unseen_tickets_find_their_queue(text: str, label: str) -> None:
    found = route(text)
    assert found.label == label
    assert 0.5 < found.confidence <= 1


def test_a_text_of_unknown_words_is_routed_without_confidence() -> None:
    assert route("zzz qqq").confidence < 0.4
    assert route("").confidence < 0.4


def test_the_same_data_gives_the_same_route_in_every_process() -> None:
    script = "from firebreak.flows.router import route; print(route('Where is my receipt?').model_dump_json())"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == route("Where is my receipt?").model_dump_json()


def test_importing_the_flow_does_not_import_scikit_learn() -> None:
    script = "import sys, firebreak.flows.answer_tickets; raise SystemExit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
