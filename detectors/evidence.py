"""Evidence: an excerpt around what matched, short, and without the secret that leaked."""

import re

from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import Evidence

EXCERPT = 200


def excerpt_of(field: str, text: str, start: int, end: int, facts: Facts) -> Evidence:
    """At most 200 characters of ``text`` around ``text[start:end]``, every issued canary masked."""
    context = max(0, EXCERPT - (end - start)) // 2
    low = max(0, start - context)
    high = min(len(text), low + EXCERPT)
    secrets = {canary for issued in facts.canaries.values() for canary in issued if canary}
    margin = max(map(len, secrets), default=0)  # so that a canary cut by the excerpt's edge is masked as well
    wide = max(0, low - margin)
    masked = mask(text[wide : high + margin], secrets)
    return Evidence(field=field, excerpt=masked[low - wide : high - wide].replace("\0", " "), start=start, end=end)


def mask(text: str, secrets: set[str]) -> str:
    """``text`` with each secret replaced by as many asterisks, letter case ignored."""
    if not secrets:
        return text
    longest_first = sorted(secrets, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda m: "*" * len(m[0]), text, flags=re.IGNORECASE)
