"""Credentials and personal data taken out of a text before anybody keeps or shows it."""

from firebreak.detectors.leaks.credentials import credentials_in
from firebreak.detectors.leaks.personal import personal_data_in


def masked(text: str) -> str:
    """The text with an asterisk for every character of a credential, a card number or an IBAN; places stay."""
    readable = text if text.isascii() else text.encode("utf-8", "replace").decode()
    places = [(one.start, one.end) for one in credentials_in(readable)]
    places += [(one.start, one.end) for one in personal_data_in(readable)]
    parts, done = list[str](), 0
    for start, end in sorted(places):
        if end > done:
            parts += [text[done:start], "*" * (end - max(done, start))]
            done = end
    return "".join([*parts, text[done:]])
