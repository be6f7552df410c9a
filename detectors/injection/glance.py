"""Whether a plain text could get a score at all: told without its views, and nearly always with no."""

from collections.abc import Collection, Iterable

from firebreak.detectors.injection.features import Search, compiled, features
from firebreak.detectors.injection.shapes import soup_at


def may_score(text: str, ends: Iterable[int], signs: Collection[str]) -> bool:
    """False only where neither the text nor what any origin wrote of it shows a sign of an attack.

    ``ends``: where what an origin wrote ends. ``signs``: those of ``features.signs`` that were found in the text.
    """
    if soup_at(text, ends):
        return True
    if not signs:
        return False
    wanted, data = compiled(), text.encode("utf-8", "replace")
    return any(
        _is_found(search, data) and all(group.search(data) for group in more)
        for sign in signs
        for search, more in wanted.by_sign[sign]
    )


def _is_found(search: Search, data: bytes) -> bool:
    """Whether the sign is in the text; of one that is made of others, whether each of those may be."""
    if search.made_of_others:
        patterns = [compiled().patterns.get(part) for part in features()[search.name].all]
        return all(pattern is None or pattern.search(data) for pattern in patterns)
    return search.pattern.search(data) is not None
