"""The engine finds at least what RE2 finds in each text by itself."""

import logging

import pytest
import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firebreak.detectors.patterns import _PROBE
from firebreak.detectors.scan.engine import Engine, by_line
from firebreak.detectors.scan.hints import HINTS
from firebreak.detectors.text.views import VIEW_SIGNS
from tests.detectors.scan.encodings import texts

PATTERNS = [
    r"(?i)\Abegins\b",
    r"(?is)here\z",
    r"^a$",
    r"(?m)^x$",
    r"(?-m)^hello",
    r"(?i-m:^hello$)",
    r"a\sb|\Sx",
    r"[^\x00-\x7f]|\x{1f600}",
    r"\x{2028}",
    r"pa.rt",
    r"(?i)s\b",
    r"\bk",
    r"\Q[ANOMALY]\E",
    r"[]\\A]x",
    r"(?i)\bignore[^a-z0-9.,;!?]+(?:all[^a-z]+)?previous",
    r"\pL\d",
    "é",
    r"x{2,3}y",
]
FAST, SLOW = Engine([PATTERNS[:9], PATTERNS[9:]]), Engine([PATTERNS], fast=False)


@settings(max_examples=500, deadline=None)
@given(st.lists(texts | st.text("ax bk\n\v\rK\u017fshello.", max_size=8), min_size=1, max_size=4))
@example(["a\vb", "pa\vrt"])
@example(["hello", "x"])
@example(["ignore", "all previous", "ignore all", "previous", "x"])
@example(["ignore", "previous x", "\ud800é"])
def test_nothing_is_missed_in_texts_below_one_another(parts: list[str]) -> None:
    readable = [part.encode("utf-8", "replace").decode() for part in parts]
    wanted = [{n for n, pattern in enumerate(PATTERNS) if re2.search(pattern, part)} for part in readable]
    for engine in (FAST, SLOW):
        for found in (engine.hits(parts), engine.hits(["\n".join(parts)]) * len(parts)):
            assert all(each <= hits for each, hits in zip(wanted, found, strict=True))


def test_what_matches_everywhere_is_left_to_re2() -> None:
    texts = ["s " * 100_000, None, "hello", ""]
    assert FAST.hits(texts) == SLOW.hits(texts)


def test_hyperscan_is_used_where_it_is_to_be_had() -> None:
    pytest.importorskip("hyperscan")
    assert FAST.fast
    assert not SLOW.fast


def test_what_hyperscan_refuses_is_named_and_looked_for_by_re2(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("hyperscan")
    refused = "x*"  # it matches an empty text
    with caplog.at_level(logging.WARNING, "firebreak.scan"):
        engine = Engine([[refused, "plain"]])
    assert [refused in message for message in caplog.messages] == [True]
    assert engine.hits(["plain xa", None]) == [{0, 1}, frozenset()]


@pytest.mark.parametrize(
    ("pattern", "loose"),
    [
        (r"\Aabc\z", "(?m)^abc$"),
        (r"\\Aabc", r"(?m)\\Aabc"),
        (r"[\\A\]]\Q\A\E", r"(?m)[\\A\]]\Q\A\E"),
        (r"(?i-m:^a)", "(?m)(?i:^a)"),
        (r"(?s-im)a", "(?m)(?s-i)a"),
    ],
)
def test_anchors_of_the_text_become_those_of_a_line(pattern: str, loose: str) -> None:
    assert by_line(pattern) == loose


@pytest.mark.parametrize("engine", [FAST, SLOW], ids=["fast", "slow"])
def test_what_a_set_is_probed_with_is_no_pattern(engine: Engine) -> None:
    (found,) = engine.hits([f"\u0431 {_PROBE}"])
    assert all(number < len(PATTERNS) for number in found)


def test_no_patterns_find_nothing() -> None:
    assert Engine([]).hits(["x"]) == [frozenset()]


@pytest.mark.parametrize("view", sorted(HINTS))
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_hint_is_found_wherever_its_sign_is(view: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(VIEW_SIGNS[view]))
    if re2.search(VIEW_SIGNS[view], text):
        assert any(re2.search(by_line(hint), text) for hint in HINTS[view])
