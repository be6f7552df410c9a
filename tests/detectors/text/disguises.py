"""Ways to hide a text, each the inverse of what one view undoes."""

# ruff: noqa: RUF001 - look-alikes are what it is about

import base64
import codecs
import urllib.parse
from collections.abc import Callable

_LOOK_ALIKES = str.maketrans("aceiopsxyABCEHIKMOPTX", "асеіорѕхуАВСЕНІКМОРТХ")


def _unspaced(text: str) -> str:
    return text.replace(" ", "")


def selectors(text: str) -> str:
    return "".join(chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16) for byte in text.encode())


DISGUISES: dict[str, tuple[str, Callable[[str], str]]] = {
    "look-alikes": ("folded", lambda text: text.translate(_LOOK_ALIKES)),
    "full width": ("folded", lambda text: "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in text)),
    "bold": ("folded", lambda text: "".join(chr(0x1D41A + ord(c) - 97) if c.islower() else c for c in text)),
    "zero width": ("folded", "\u200b".join),
    "soft hyphens": ("folded", "\u00ad".join),
    "bidi controls": ("folded", "\u202d".join),
    "control characters": ("folded", "\x08".join),
    "struck through": ("folded", lambda text: "".join(c + "\u0336" if c != " " else c for c in text)),
    "no-break spaces": ("folded", lambda text: text.replace(" ", "\u00a0\u200b").replace("o", "ο")),
    "tags": ("tags", lambda text: "".join(chr(0xE0000 + ord(c)) for c in text)),
    "tags between letters": ("tags", lambda text: "".join(f"x{chr(0xE0000 + ord(c))}" for c in text)),
    "selectors": ("selectors", selectors),
    "spaced out": ("joined", lambda text: "   ".join(" ".join(word) for word in text.split())),
    "spaced out, no gaps": ("joined", lambda text: " ".join(_unspaced(text))),
    "dotted": ("joined", lambda text: ".".join(_unspaced(text))),
    "hyphened": ("joined", lambda text: " ".join("-".join(word) for word in text.split())),
    "underscores": ("joined", lambda text: "__".join("_".join(word) for word in text.split())),
    "one below the other": ("joined", lambda text: "\n".join(_unspaced(text))),
    "leet": ("leet", lambda text: text.translate(str.maketrans("oieas", "01345"))),
    "leet with signs": ("leet", lambda text: text.translate(str.maketrans("aiso", "@!$0"))),
    "rot13": ("rot13", lambda text: codecs.encode(text, "rot13")),
    "backwards": ("reversed", lambda text: text[::-1]),
    "each word backwards": ("mirrored", lambda text: " ".join(word[::-1] for word in text.split())),
    "base64": ("base64", lambda text: base64.b64encode(text.encode()).decode()),
    "base64 for URLs": ("base64", lambda text: base64.urlsafe_b64encode(f"{text} ~~~ ???".encode()).decode()),
    "base64, no padding": ("base64", lambda text: base64.b64encode(text.encode()).decode().rstrip("=")),
    "base64 in lines": ("base64", lambda text: "\r\n".join(_every(base64.b64encode(text.encode()).decode(), 10))),
    "base64 by line": ("base64-lines", lambda text: f"Y2E0\n{base64.b64encode(text.encode()).decode()}"),
    "hex": ("hex", lambda text: text.encode().hex()),
    "hex, upper case": ("hex", lambda text: text.encode().hex().upper()),
    "hex, spaced": ("hex", lambda text: text.encode().hex(" ")),
    "hex escapes": ("hex", lambda text: "".join(f"\\x{ord(c):02x}" for c in text)),
    "JSON escapes": ("hex", lambda text: "".join(f"\\u{ord(c):04x}" for c in text)),
    "hex numbers": ("hex", lambda text: ", ".join(f"0x{ord(c):02X}" for c in text)),
    "URL": ("url", urllib.parse.quote),
    "URL, all of it": ("url", lambda text: "".join(f"%{ord(c):02X}" for c in text)),
    "entities, decimal": ("html", lambda text: "".join(f"&#{ord(c)};" for c in text)),
    "entities, hex": ("html", lambda text: "".join(f"&#x{ord(c):x};" for c in text)),
    "entities, some": ("html", lambda text: text.replace("o", "&#111;").replace(" ", "&#32;")),
    "entities, named": ("html", lambda text: text.replace(" ", "&Tab;")),
}  # fmt: skip
"""By what is done to a text: the view that undoes it, and the doing."""


def _every(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]
