"""How much of a system prompt an answer repeats."""

import string
from functools import partial
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.leaks.fingerprints import FEWEST, Fingerprint, fingerprint, longest_run
from tests.timing import best_of_three

PROMPT = (
    "You write letters for the Northgate theatre, in plain words and without promises. Refunds are only given for "
    "performances that were cancelled, and the box office decides about every exception. Visitors with a wheelchair "
    "reach their seats by the side entrance in Miller Street, where somebody of the staff meets them. The autumn "
    "programme is confidential until the press conference in August; say that it will be announced in time."
)
KNOWN = fingerprint(PROMPT) or Fingerprint(least=1, shingles=frozenset())
WORDS = PROMPT.split()
WORD = st.text(string.ascii_lowercase, min_size=1, max_size=10)


def run_of(response: str, prompt: str = "") -> int:
    found = longest_run(KNOWN, response, prompt)
    return found[0] if found else 0


def test_the_whole_prompt_is_seen_whole_but_for_its_edges() -> None:
    assert run_of(PROMPT) >= len(WORDS) - 12
    assert run_of(f"Sure! {PROMPT.upper()} Anything else?") >= len(WORDS) - 12


@given(st.integers(0, len(WORDS) - 30), st.lists(WORD, max_size=30), st.lists(WORD, max_size=30))
def test_thirty_words_of_it_are_always_more_than_the_rule_asks_for(
    start: int, before: list[str], after: list[str]
) -> None:
    text = " ".join([*before, *WORDS[start : start + 30], *after])
    found = longest_run(KNOWN, text, "")
    assert found is not None
    assert found[0] >= 16
    assert text[found[1] : found[2]] in " ".join(WORDS[start : start + 30])


@given(st.integers(0, len(WORDS) - 12))
def test_a_sentence_of_it_is_less(start: int) -> None:
    assert run_of(" ".join(WORDS[start : start + 12])) < 16


@given(st.randoms(use_true_random=False))
def test_case_space_and_punctuation_make_no_difference(random: Random) -> None:
    joints = [random.choice([" ", "\n- ", ",  ", " * ", ". ", "\t", "…", " / "]) for _ in WORDS]
    words = [random.choice([str.upper, str.lower, str.title])(word.strip(".,;")) for word in WORDS]
    assert run_of("".join(a + b for a, b in zip(words, joints, strict=True))) == run_of(PROMPT)


def test_a_changed_word_here_and_there_does_not_break_the_run() -> None:
    changed = [word if at % 15 else "something" for at, word in enumerate(WORDS)]
    assert run_of(" ".join(changed)) >= 40


def test_what_the_prompt_said_is_no_leak() -> None:
    assert run_of(PROMPT, prompt=f"Is this ours? {PROMPT}") == 0
    half = " ".join(WORDS[: len(WORDS) // 2])
    assert 16 <= run_of(PROMPT, prompt=half) <= len(WORDS) // 2 + 4


@given(st.lists(WORD, max_size=300))
def test_other_texts_repeat_nothing(words: list[str]) -> None:
    assert run_of(" ".join(words)) == 0


@given(st.text(max_size=300))
def test_whatever_the_text_nothing_breaks_and_places_hold(text: str) -> None:
    kept = fingerprint(text)
    if kept is not None and (found := longest_run(kept, text, "")):
        assert 0 <= found[1] < found[2] <= len(text)
    longest_run(KNOWN, text, text)


def test_short_prompts_have_no_fingerprint() -> None:
    assert fingerprint("") is None
    assert fingerprint("You are a helpful assistant.") is None
    assert fingerprint("?!") is None


def test_the_prompt_is_not_in_what_is_kept() -> None:
    told = KNOWN.model_dump_json()
    assert not any(word in told for word in WORDS if len(word) > 3)
    assert len(KNOWN.shingles) < len(WORDS) / 2
    assert max(KNOWN.shingles) < 2**24


def test_what_a_template_fills_in_is_no_other_prompt() -> None:
    filled = fingerprint(PROMPT.replace("August", "September"))
    other = fingerprint("Answer questions about parcels. " + " ".join(reversed(WORDS)))
    assert filled is not None
    assert other is not None
    assert KNOWN.covers(filled)
    assert not KNOWN.covers(other)
    assert KNOWN.with_(other).covers(other)
    assert len(KNOWN.shingles) >= FEWEST


def test_a_megabyte_takes_less_than_a_second() -> None:
    for text in (PROMPT * 2500, "aaaaaaaa " * 111_000, "x" * 1_000_000, "é " * 500_000):
        assert best_of_three(partial(longest_run, KNOWN, text[:1_000_000], text[:1_000_000])) < 1.0
