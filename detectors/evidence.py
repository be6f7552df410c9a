"""Evidence: an excerpt around what matched, short, and without the secret that leaked."""

from collections.abc import Iterable

from firebreak.detectors.canaries import canary_pattern
from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import Evidence
from firebreak.detectors.leaks.masking import masked as without_secrets
from firebreak.detectors.patterns import regex

EXCERPT = 200
_MARGIN = 10_000  # characters beside an excerpt that are looked at too: a private key may begin that far before it


def excerpt_of(
    field: str, text: str, start: int, end: int, facts: Facts, secret: Iterable[tuple[int, int]] = ()
) -> Evidence:
    """At most 200 characters of ``text`` around ``text[start:end]``, what must stay secret masked.

    That is every credential, card number and IBAN, every issued canary, and the spans given as ``secret``.
    """
    context = max(0, EXCERPT - (end - start)) // 2
    low = max(0, start - context)
    high = min(len(text), low + EXCERPT)
    wide = max(0, low - _MARGIN)
    around = text[wide : high + _MARGIN]
    for first, last in secret:
        first, last = max(first, wide) - wide, min(last, wide + len(around)) - wide
        if first < last:
            around = f"{around[:first]}{'*' * (last - first)}{around[last:]}"
    issued = {canary for canaries in facts.canaries.values() for canary in canaries if canary}
    masked = mask(without_secrets(around), issued)
    return Evidence(field=field, excerpt=masked[low - wide : high - wide].replace("\0", " "), start=start, end=end)


def mask(text: str, secrets: set[str]) -> str:
    """``text`` with every character of each secret as an asterisk, in any letter case and plain disguise."""
    readable = text if text.isascii() else text.encode("utf-8", "replace").decode()
    for secret in secrets:
        for found in regex(canary_pattern(secret)).finditer(readable):
            text = f"{text[: found.start()]}{'*' * (found.end() - found.start())}{text[found.end() :]}"
    return text
