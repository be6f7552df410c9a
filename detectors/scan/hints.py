"""Weaker forms of the signs of views that hyperscan is slow at: found wherever the sign is found, and seldom else.

Where one is found, the view's own sign decides. Each of these looks for a core that no match of its sign can lack.
"""

_DIGIT, _BREAK = "[A-Za-z0-9+/_-]", r"\r?\n[ \t]{0,8}"
_LETTER, _BETWEEN = "[A-Za-z0-9@$]", "[^A-Za-z0-9@$]{1,3}"
_LAST = "(?:[A-Za-z0-9](?:[^A-Za-z0-9]|$)|[@$])"

HINTS: dict[str, tuple[str, ...]] = {
    # Letters with something between each two of them: five, of which the first two are letters indeed.
    "joined": (rf"[A-Za-z]{_BETWEEN}[A-Za-z](?:{_BETWEEN}{_LETTER}){{2}}{_BETWEEN}{_LAST}",),
    # Twenty digits: in one line, or in two (one of which has ten), or in more (one of which is a single run).
    "base64": (
        f"{_DIGIT}{{20}}",
        rf"{_DIGIT}{{10}}\r?\n",
        rf"\n[ \t]{{0,8}}{_DIGIT}{{10}}",
        rf"{_DIGIT}{_BREAK}{_DIGIT}+{_BREAK}{_DIGIT}",
    ),
    "base64-lines": (f"{_DIGIT}{{20}}",),
}
"""By the view's name."""

APART = ("joined", "leet", "base64", "base64-lines")
"""Views whose signs or hints want a database of their own: with others they cost hyperscan three times as much."""
