"""Decoding: base64, hex, URL escapes, HTML entities and characters nobody sees, wherever they spell readable text.

The patterns ask for more than an alphabet: that the bytes are printable ASCII. So a hash, a picture in base64 or an
identifier isn't even tried.
"""

import base64
import html
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from firebreak.detectors.patterns import regex
from firebreak.detectors.text.pieces import Piece, Places, cut, found_in

_DIGIT = "[A-Za-z0-9+/_-]"
_LINE_BREAK = r"(?:\r?\n[ \t]{0,8})?"


# What the first three digits of four are, by the kind of byte each starts: ASCII, first or second of two in UTF-8.
_STARTS = {
    "a": ("[I-Za-f]", "[C-HS-Xi-nyz0-3]", "[ABEFIJMNQRUVYZcdghklopstwx014589]"),
    "1": ("[w-z0-3]", "[MNcdst89]", "[DHLPTXbfjnrvz37/_]"),
    "2": ("[g-v]", "[I-LYZabo-r4-7]", "[CGKOSWaeimquy26+-]"),
}


def _quad(between: str, *kinds: str) -> str:
    """Four digits that stand for three bytes of such kinds."""
    ways = ["".join(_STARTS[kind][at] + between for at, kind in enumerate(three)) for three in kinds]
    return f"(?:(?:{'|'.join(ways)}){_DIGIT}{between})"


_WIDE = ("aaa", "a12", "12a", "2aa", "aa1", "212", "121", "2a1")


def _base64_core(between: str) -> str:
    """Five times four digits that stand for ASCII, or nine times for letters of two bytes too."""
    return f"(?:{_quad(between, 'aaa')}{{5}}|{_quad('', *_WIDE)}{{9}})"


def _base64_whole(between: str) -> str:
    """What has such a core, and what is beside it."""
    more = f"{_quad(between, *_WIDE)}*(?:(?:(?:{_DIGIT}{between}){{4}}){{1,4}}{_quad(between, 'aaa')}{{2,}})*"
    return f"(?:{_DIGIT}{{4}}){{0,2}}{_base64_core(between)}{more}(?:{_DIGIT}{{2,3}}={{0,2}})?"


BASE64 = _base64_core(_LINE_BREAK)
BASE64_LINES = f"{_quad('', 'aaa')}=*\\r?\\n[ \\t]{{0,8}}{_quad('', 'aaa')}{{5}}"
HEX = r"(?:\\x|\\u00|0x)?(?:(?:\\x|\\u00|0x|[\s:,-]{1,2}(?:0x)?)?[2-7][0-9A-Fa-f]){12,}"
_ESCAPE = "%[0-9A-Fa-f]{2}"
URL = rf"%(?:[2-7][0-9A-Fa-f][^%]{{0,40}}%[2-7]|[C-Fc-f][0-9A-Fa-f]%[89ABab])[0-9A-Fa-f](?:[^%]{{0,40}}{_ESCAPE})*"
_ENTITY = "&(?:#[0-9]{2,7};?|#[xX][0-9A-Fa-f]{2,6};?|[A-Za-z][A-Za-z0-9]{1,23};)"
HTML = rf"{_ENTITY}(?:[^&]{{0,40}}{_ENTITY})*"
_TAGS = "\U000e0020-\U000e007e"
_SELECTOR = "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
TAGS = f"[{_TAGS}](?:[^{_TAGS}]{{0,8}}[{_TAGS}]){{3,}}"
SELECTORS = f"{_SELECTOR}{{4,}}"

_READABLE = re.compile(r"[\x20-\x7e\s]+|[^\x00-\x7f\ud800-\udfff]+")
_HTML_ENTITY = re.compile(_ENTITY)
_HTML_CHARACTER = re.compile(rf"{_ENTITY}|.", re.DOTALL)
_HEX_BYTE = re.compile(r"[\s:,-]{0,2}((?:\\x|\\u00|0x)?([2-7][0-9A-Fa-f]))")
_URL_BYTE = re.compile(rf"{_ESCAPE}|.", re.DOTALL)
_TAG = re.compile(f"[{_TAGS}]")


def _readable(data: bytes) -> str | None:
    """The bytes as text, a question mark for each that isn't UTF-8; None where that is mostly no text."""
    if data.isascii() and (plain := data.decode()).isprintable():
        return plain
    text = data.decode("utf-8", "surrogateescape")
    if sum(map(len, _READABLE.findall(text))) < 0.9 * len(text):
        return None
    return text.encode("utf-8", "replace").decode()


class _Encoding(NamedTuple):
    spans: Callable[[str], Iterator[tuple[int, int]]]
    units: re.Pattern[str]  # where a long span may be cut
    decode: Callable[[str], bytes]
    places: Callable[[str], Places]  # of each byte
    margin: str  # a space where no word goes on in what stands beside it

    def pieces(self, text: str) -> Iterator[Piece]:
        """The pieces that decode to mostly readable text. A byte that isn't UTF-8 becomes a question mark."""
        for first, last in self.spans(text):
            parts = cut(text, first, last, self.units)
            for start, end in parts:
                source = text[start:end]
                if (plain := _readable(self.decode(source))) is None:
                    continue
                before = self.margin if start == first else ""
                after = self.margin if end == last else ""
                yield Piece(start, end, before + plain + after, partial(self._places_of_characters, before))

    def _places_of_characters(self, before: str, source: str) -> Places:
        of_bytes = self.places(source)
        found, at = [(0, 0)] * len(before), 0
        for character in self.decode(source).decode("utf-8", "surrogateescape"):
            size = len(character.encode("utf-8", "surrogateescape"))
            found.append((of_bytes[at][0], of_bytes[at + size - 1][1]))
            at += size
        return [*found, (len(source), len(source))]


def _base64(source: str) -> bytes:
    digits = "".join(source.split()).rstrip("=").replace("-", "+").replace("_", "/")
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    return base64.b64decode(digits + "=" * (-len(digits) % 4))


def _base64_places(source: str) -> Places:
    at = [place for place, digit in enumerate(source) if not digit.isspace() and digit != "="]
    return [(at[byte * 4 // 3], at[byte * 4 // 3 + 1] + 1) for byte in range(len(at) * 3 // 4)]


def _hex(source: str) -> bytes:
    try:
        return bytes.fromhex(source)
    except ValueError:  # with marks between
        return bytes.fromhex("".join([pair for _, pair in _HEX_BYTE.findall(source)]))


def _hex_places(source: str) -> Places:
    return [found.span(1) for found in _HEX_BYTE.finditer(source)]


def _url_places(source: str) -> Places:
    """The span of each byte; a character beyond ASCII, which stands there as itself, has several."""
    return [found.span() for found in _URL_BYTE.finditer(source) for _ in unquote_to_bytes(found[0])]


def _selectors(source: str) -> bytes:
    return bytes(code - 0xFE00 if (code := ord(selector)) < 0xE0000 else code - 0xE0100 + 16 for selector in source)


def _selector_places(source: str) -> Places:
    return [(n, n + 1) for n in range(len(source))]


def _matches(pattern: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    return lambda text: found_in(regex(pattern), text)


def _units(unit: str, most: int) -> re.Pattern[str]:
    return re.compile(f"(?s)(?:{unit}){{1,{most}}}")


_SELECTED = re.compile(SELECTORS)
_DIGITS = _units(rf"{_DIGIT}\s*=*", 1024)
_BYTES = _units(_HEX_BYTE.pattern, 500)
_ESCAPES = _units(_URL_BYTE.pattern, 1000)

from_base64 = _Encoding(_matches(_base64_whole(_LINE_BREAK)), _DIGITS, _base64, _base64_places, " ").pieces
from_base64_lines = _Encoding(_matches(_base64_whole("")), _DIGITS, _base64, _base64_places, " ").pieces
from_hex = _Encoding(_matches(HEX), _BYTES, _hex, _hex_places, " ").pieces
from_url = _Encoding(_matches(URL), _ESCAPES, unquote_to_bytes, _url_places, "").pieces
from_selectors = _Encoding(
    lambda text: (found.span() for found in _SELECTED.finditer(text)),
    _units(_SELECTOR, 1000), _selectors, _selector_places, " ",
).pieces  # fmt: skip

_HTML_CHARACTERS = re.compile(rf"(?s)(?:{_HTML_CHARACTER.pattern}){{1,1000}}")
_HIDDEN_TAGS = re.compile(TAGS)
_HIDDEN_TAG = re.compile(rf"(?:[^{_TAGS}]*[{_TAGS}]){{1,500}}")


def from_html(text: str) -> Iterator[Piece]:
    for whole in found_in(regex(HTML), text):
        for start, end in cut(text, *whole, _HTML_CHARACTERS):
            if (plain := _HTML_ENTITY.sub(_unescape, text[start:end])) != text[start:end]:
                yield Piece(start, end, plain, _html_places)


def _unescape(found: re.Match[str]) -> str:
    return html.unescape(found[0]).encode("utf-8", "replace").decode()


def _html_places(source: str) -> Places:
    characters = _HTML_CHARACTER.finditer(source)
    return [one.span() for one in characters for _ in (_unescape(one) if one[0][0] == "&" else one[0])]


def from_tags(text: str) -> Iterator[Piece]:
    """Unicode's tag characters: ASCII that no screen shows, between letters that one does, which are left out."""
    for first, last in (found.span() for found in _HIDDEN_TAGS.finditer(text)):
        yield Piece(first, first, " ")
        for start, end in cut(text, first, last, _HIDDEN_TAG):
            plain = "".join([chr(ord(tag) - 0xE0000) for tag in _TAG.findall(text, start, end)])
            yield Piece(start, end, plain, lambda source: [tag.span() for tag in _TAG.finditer(source)])
        yield Piece(last, last, " ")
