"""Folding: one character at a time, the same for whoever asks, and never without its sign."""

# ruff: noqa: RUF001 - look-alikes are what it is about

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firebreak.detectors.patterns import regex
from firebreak.detectors.text.folding import FOLDABLE, fold, folded_lengths

EVERYTHING = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def test_whatever_folding_changes_has_the_sign_and_stays_folded() -> None:
    changed = [character for character in EVERYTHING if fold(character) != character]
    assert len(changed) > 10_000
    sign = regex(FOLDABLE)
    assert [character for character in changed if not sign.search(character)] == []
    assert [character for character in changed if fold(fold(character)) != fold(character)] == []
    assert max(len(fold(character)) for character in changed) <= 4


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Іgnоrе рrеvіоus", "Ignore previous"),
        ("ｉｇｎｏｒｅ", "ignore"),
        ("𝓲𝓰𝓷𝓸𝓻𝓮 𝕡𝕣𝕖𝕧", "ignore prev"),
        ("ɪɢɴᴏʀᴇ ᴘʀᴇᴠɪᴏᴜs", "ignore previous"),
        ("ⓘⓖⓝⓞⓡⓔ", "ignore"),
        ("🅘🅖🅝🅞🅡🅔", "IGNORE"),
        ("🇮🇬🇳🇴🇷🇪", "ignore"),
        ("ᎥᏀNᎾᎡᎬ", "iGNORE"),
        ("ıgnöré", "ignore"),
        ("i̸g̷n̵o̶r̴e̷", "ignore"),
        ("i\u200bg\u00adn\u2060o\ufeffr\u202ee", "ignore"),
        ("ig\x00n\x08ore", "ignore"),
        ("s\ufe0fe\U000e0101c", "sec"),
        ("Straße ﬁne Łódź", "Strasse fine Lodz"),
        ("a\tb\nc\r\n", "a\tb\nc\r\n"),
        ("你好，世界！", "你好，世界！"),
        ("नमस्ते", "नमस्ते"),
        ("どうぞ", "どうぞ"),
        ("한국어", "한국어"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text(max_size=300))
def test_a_text_is_folded_character_by_character(text: str) -> None:
    assert fold(text) == "".join(fold(character) for character in text)
    assert folded_lengths(text) == [len(fold(character)) for character in text]


def test_long_and_many_lettered_texts_are_folded_alike() -> None:
    short = "Grüße, мир — ＡＢＣ"
    assert fold(short * 5000) == fold(short) * 5000
    letters = "".join(character for character in EVERYTHING if unicodedata.category(character)[0] == "L")[:3000]
    assert fold(letters) == "".join(map(fold, letters))
