"""Untrusted text in Markdown: bounded, on one line or in a fence it can't close, with no control characters."""

import re
import unicodedata

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&])")


def visible(text: str, limit: int) -> str:
    """At most ``limit`` characters, with control and direction characters shown as ``\\u....``."""
    cut = text[:limit]
    shown = "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else f"\\u{ord(c):04x}" for c in cut
    )
    return shown + (f" … ({len(text) - limit} more characters)" if len(text) > limit else "")


def inline(text: str, limit: int = 120) -> str:
    """For a sentence or a table cell: every character that means something to Markdown or HTML is escaped."""
    return (
        _SPECIAL.sub(r"\\\1", " ".join(visible(text, limit).split()))
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
        .replace("://", "&#58;//")
    )


def fenced(text: str, limit: int = 2000) -> str:
    """For a block: a fence one backtick longer than any run inside."""
    shown = visible(text, limit)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"
