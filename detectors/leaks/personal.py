"""Personal data in a text whose checksum proves it: payment cards and IBANs.

One in ten numbers passes a card's checksum by chance, so its issuer and grouping must fit as well, and a bare row of
digits counts for nothing where the words before it call it something else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from firebreak.detectors.patterns import regex

# Digits in one row, or grouped as cards are printed: 4-4-4-4(-3), 4-6-5, 4-6-4.
_FIRST_FOUR = "(?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|35[2-8][0-9]|6(?:011|2[0-9]{2}|4[4-9][0-9]|5[0-9]{2}))"
_CARD = (
    rf"\b[2-6][0-9]{{12,18}}\b|\b{_FIRST_FOUR}(?:[ -][0-9]{{4}}){{3}}(?:[ -][0-9]{{3}})?\b"
    r"|\b3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}\b"
)
_IBAN = r"(?i:\b[a-z]{2}[0-9]{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?\b)"
SIGNS = (_CARD, _IBAN)
_ANY = regex(f"{_CARD}|{_IBAN}")
# The same patterns: they can't backtrack far, and `re` is quicker where there is a match after the other.
_CARDS, _IBANS = re.compile(_CARD, re.ASCII), re.compile(_IBAN, re.ASCII)
_AS_DIGITS = {ord(letter): str(value) for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}
_CALLED_OTHERWISE = regex(
    r"(?i)\b(?:order|tracking|track|invoice|parcel|shipment|ticket|case|reference|ref|serial|article|item|part|sku|"
    r"customer|account|request|session|trace|message|version|build|isbn|ean|gtin|imei|id)"
    r"(?:\s+(?:number|no|nr|id|code|is|was))*[\s.:#=_\"'(-]*\z"
)
_BEFORE = 40
_JOINS_BEFORE = re.compile(r"(?:[-+/_]|[0-9][.,]|\b(?:[03-9][0-9]{3}|1[0-8][0-9]{2}|2[1-9][0-9]{2}) )\Z")  # years don't
_JOINS_AFTER = re.compile(r"[-/_]|[.,][0-9]|(?: (?:[03-9][0-9]{3}|1[0-8][0-9]{2}|2[1-9][0-9]{2})\b)")

# Issuers: first digits from, to, and the lengths they use.
_ISSUERS = (
    ("2221", "2720", (16,)),
    ("300", "305", (14,)),
    ("3095", "3095", (14,)),
    ("34", "34", (15,)),
    ("3528", "3589", (16, 17, 18, 19)),
    ("36", "36", (14, 15, 16, 17, 18, 19)),
    ("37", "37", (15,)),
    ("38", "39", (16, 17, 18, 19)),
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("6011", "6011", (16, 17, 18, 19)),
    ("62", "62", (16, 17, 18, 19)),
    ("644", "649", (16, 17, 18, 19)),
    ("65", "65", (16, 17, 18, 19)),
)
# Numbers that payment services and standards print as examples; they belong to nobody.
_EXAMPLES = frozenset({
    "378282246310005", "371449635398431", "378734493671000", "30569309025904", "38520000023237", "6011111111111117",
    "6011000990139424", "3530111333300000", "3566002020360505", "5105105105105100", "5200828282828210",
    "2223003122003222", "2223000048400011", "4012888888881881", "4000056655665556", "4000000000003220",
    "6200000000000005", "5424000000000015", "4007000000027", "4539578763621486",
    "DE89370400440532013000", "GB82WEST12345698765432", "GB29NWBK60161331926819", "GB33BUKB20201555555555",
    "FR1420041010050500013M02606", "FR7630006000011234567890189", "ES9121000418450200051332", "BE68539007547034",
    "NL91ABNA0417164300", "AT611904300234573201", "CH9300762011623852957", "IT60X0542811101000000123456",
})  # fmt: skip
_FEWEST_DIGITS = 4  # different ones: 4242 4242 4242 4242 and its like are examples


@dataclass(frozen=True)
class PersonalData:
    """A number in a text that belongs to a person."""

    type: Literal["card", "iban"]
    number: str  # without spaces and dashes, in capitals
    start: int
    end: int


def personal_data_in(text: str) -> tuple[PersonalData, ...]:
    """Every card number and IBAN, in order. ``text`` is valid Unicode (no lone surrogates)."""
    return _search(text) if _ANY.search(text) else ()


@lru_cache(maxsize=8)  # value, evidence and masks of one record ask for the same text
def _search(text: str) -> tuple[PersonalData, ...]:
    return tuple(sorted([*_cards(text), *_ibans(text)], key=lambda one: one.start))


def _cards(text: str) -> Iterator[PersonalData]:
    for place in _CARDS.finditer(text):
        start, end = place.span()
        number = place[0].replace(" ", "").replace("-", "")
        if (
            not _is_issued(number[:4], len(number))
            or not _stands_alone(text, start, end)
            or not _luhn().is_valid(number)
        ):
            continue
        if number in _EXAMPLES or len(set(number)) < _FEWEST_DIGITS:
            continue
        bare = end - start == len(number)
        if not (bare and _CALLED_OTHERWISE.search(text[max(0, start - _BEFORE) : start])):
            yield PersonalData("card", number, start, end)


@lru_cache(maxsize=65_536)
def _is_issued(first: str, length: int) -> bool:
    return any(low <= first[: len(low)] <= high and length in lengths for low, high, lengths in _ISSUERS)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """No part of something longer: a decimal fraction, a UUID, a path, a table of numbers with four digits."""
    return not (_JOINS_BEFORE.search(text[max(0, start - 6) : start]) or _JOINS_AFTER.match(text[end : end + 6]))


def _ibans(text: str) -> Iterator[PersonalData]:
    for place in _IBANS.finditer(text):
        start, end = place.span()
        whole = place[0].replace(" ", "").replace("-", "").upper()
        length = _iban_length(whole[:2])
        compact = whole[:length]
        if not 0 < length == len(compact) or int((compact[4:] + compact[:4]).translate(_AS_DIGITS)) % 97 != 1:
            continue  # the checksum that `_is_iban` begins with: most candidates end here
        if compact in _EXAMPLES or not _is_iban(compact):
            continue
        for _ in range(len(whole) - length):  # a word that follows was taken for one more group
            end = _before(text, end)
        if end == len(text) or not text[end].isalnum():
            yield PersonalData("iban", compact, start, end)


def _before(text: str, end: int) -> int:
    """The end without its last letter or digit, and without what separates that from the others."""
    end -= 1
    while not text[end - 1].isalnum():
        end -= 1
    return end


@cache
def _iban_length(country: str) -> int:
    """How long the country's IBANs are; 0 where it has none."""
    from stdnum import numdb

    structure = numdb.get("iban").info(country)[0][1].get("bban", "")
    lengths = re.findall(r"(\d+)!", structure)
    return 4 + sum(map(int, lengths)) if lengths else 0


def _luhn() -> Any:
    from stdnum import luhn  # at the first candidate: ordinary texts don't need it

    return luhn


@lru_cache(maxsize=1024)
def _is_iban(compact: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(compact))
