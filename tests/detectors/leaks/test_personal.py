"""Numbers with a valid checksum are always found; others as rarely as the checksum allows."""

import random

import pytest
import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from firebreak.detectors.leaks.personal import _EXAMPLES, SIGNS, personal_data_in
from tests.detectors.leaks.numbers import DIGITS, cards, grouped, ibans, row

WORDS = st.sampled_from(["", "The card on file is", "Zahlung an", "Charged to:", "exp 2027", "é", "a\n", "("])
AFTER = st.sampled_from(["", " is it.", ", thanks", ".\n", ")", " 2027", " é"])


def is_real(number: str) -> bool:
    return number not in _EXAMPLES and len(set(number)) >= 4


@given(cards(), st.sampled_from(["", " ", "-"]), WORDS, AFTER)
def test_every_valid_card_is_found_at_its_place(card: str, separator: str, before: str, after: str) -> None:
    assume(is_real(card) and (not separator or len(card) in (14, 15, 16)))
    assume(not (len(card) == 14 and separator and card[0] != "3"))
    text = f"{before} {grouped(card, separator)}{after}"
    (found,) = personal_data_in(text)
    assert (found.type, found.number) == ("card", card)
    assert text[found.start : found.end] == grouped(card, separator)


@given(ibans(), st.sampled_from(["", " ", "-"]), WORDS, AFTER, st.booleans())
def test_every_valid_iban_is_found_at_its_place(
    iban: str, separator: str, before: str, after: str, lower: bool
) -> None:
    assume(iban not in _EXAMPLES)
    shown = separator.join(iban[at : at + 4] for at in range(0, len(iban), 4))
    shown = shown.lower() if lower else shown
    text = f"{before} {shown}{after}"
    found = [one for one in personal_data_in(text) if one.type == "iban"]
    assert [(one.number, text[one.start : one.end]) for one in found] == [(iban, shown)]


@given(cards(), st.integers(0, 12), st.integers(1, 9))
def test_a_wrong_digit_is_always_seen(card: str, place: int, by: int) -> None:
    wrong = card[:place] + str((int(card[place]) + by) % 10) + card[place + 1 :]
    assert not any(one.number == wrong for one in personal_data_in(f"it is {wrong} now"))


@given(row(DIGITS, 16), st.sampled_from(["Order {}", "tracking number: {}", "invoice no. #{}", "Ticket id={}"]))
def test_a_row_of_digits_that_the_text_calls_something_else_is_none(number: str, sentence: str) -> None:
    assert personal_data_in(sentence.format(number)) == ()


@given(cards(), st.sampled_from(["0.{}", "{}-1", "7-{}", "x{}", "{}x", "{}.5", "run/{}/log", "1{}"]))
def test_a_part_of_something_longer_is_none(card: str, around: str) -> None:
    assert not any(one.number == card for one in personal_data_in(around.format(card)))


def test_other_numbers_pass_as_rarely_as_checksum_and_issuer_allow() -> None:
    chance = random.Random(7)
    rows = [f"it is {chance.randrange(10**15, 10**16)} now" for _ in range(20_000)]
    share = sum(bool(personal_data_in(one)) for one in rows) / len(rows)
    assert 0.01 < share < 0.03  # a tenth of the quarter that an issuer uses
    ibans = [f"DE{chance.randrange(10**19, 10**20)}" for _ in range(20_000)]
    assert 0.005 < sum(bool(personal_data_in(one)) for one in ibans) / len(ibans) < 0.015  # one in 97


@given(st.text(max_size=300), cards() | ibans())
def test_signs_are_sound(text: str, number: str) -> None:
    whole = text.encode("utf-8", "replace").decode() + " " + number
    if personal_data_in(whole):
        assert any(re2.compile(sign).search(whole) for sign in SIGNS)


@pytest.mark.parametrize(
    "text", ["", "4539", "no digits", "1714564800000", "2026-05-01T12:00:00+00:00", "2026 2027 2028 2029"]
)
def test_ordinary_numbers(text: str) -> None:
    assert personal_data_in(text) == ()
