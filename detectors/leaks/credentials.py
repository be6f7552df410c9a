"""Credentials in a text, as detect-secrets knows them (its plugins' patterns, never its look-ups over the network).

A sign is a plugin's own pattern in RE2, without what looks around: RE2 finds the places in linear time, and the
plugin itself judges each of them alone. So an ordinary text never imports detect-secrets, and its backtracking
patterns never see more than one place.

Off are `keyword` and the two of high entropy (they take any quoted word or number for a secret), `ip_public` (an
address is no secret) and `ibm_cloud_iam` (any 44 characters after "key" or "pass").
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from firebreak.detectors.patterns import regex

# A backslash may stand before a quote, so that the signs hold for the bytes of a JSON line as well.
_ASSIGNED = r"""\\?["']?\]? *(?:=|:|:=|=>| +|::) *\\?["']?"""
_WORD = r"(?:key|pwd|pw|password|pass|token)"
_URL_NAME = r"[^:/?#\[\]@!$&'()*+,;=\s]"
_URL_SAFE = "[A-Za-z0-9_-]"
_LONGEST_PLACE = 4_000  # characters that a plugin is given at once
_TAIL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/=")


@dataclass(frozen=True)
class Plugin:
    """One of detect-secrets' plugins: module, class, where to look, and whether a find must look random as well."""

    module: str
    name: str
    signs: tuple[str, ...]
    random: bool = False


PLUGINS = (
    Plugin("artifactory", "ArtifactoryDetector", ("AKC[a-zA-Z0-9]{10,}", "AP[0-9A-F][a-zA-Z0-9]{8,}"), random=True),
    Plugin("aws", "AWSKeyDetector", (
        "(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}",
        rf"""(?i:aws.{{0,24}}?{_WORD}.{{0,24}}?['"][0-9a-z/+]{{40}}\\?['"])""",
    )),
    Plugin("azure_storage_key", "AzureStorageKeyDetector", ("AccountKey=[a-zA-Z0-9+/=]{88}",)),
    Plugin("basic_auth", "BasicAuthDetector", (rf"://{_URL_NAME}+:{_URL_NAME}{{8,}}@",), random=True),
    Plugin("cloudant", "CloudantDetector", (
        rf"(?i:(?:cloudant|clou|cl)[_-]?(?:api)?{_WORD}{_ASSIGNED}(?:[0-9a-f]{{64}}|[a-z]{{24}}))",
        r"(?i:https?://[\w-]+:(?:[0-9a-f]{64}|[a-z]{24})@[\w-]+\.cloudant\.com)",
    )),
    Plugin("discord", "DiscordBotTokenDetector", (rf"[MNO]{_URL_SAFE}{{23,25}}\.{_URL_SAFE}{{6}}\.{_URL_SAFE}{{27}}",)),
    Plugin("github_token", "GitHubTokenDetector", ("gh[pousr]_[A-Za-z0-9]{36}",)),
    Plugin("gitlab_token", "GitLabTokenDetector", (
        rf"(?:glpat|gldt|glft|glsoat|glrt|glimt|glptt|glagent|gloas)-{_URL_SAFE}{{20,}}",
        rf"GR1348941{_URL_SAFE}{{20,}}",
        rf"glcbt-(?:[0-9a-fA-F]{{2}}_)?{_URL_SAFE}{{20,}}",
    )),
    Plugin("ibm_cos_hmac", "IbmCosHmacDetector", (rf"(?i:secret[_-]?(?:access)?[_-]?key{_ASSIGNED}[a-f0-9]{{48}})",)),
    Plugin("jwt", "JwtTokenDetector", (r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.?[A-Za-z0-9_.+/=-]*",)),
    Plugin("mailchimp", "MailchimpDetector", ("[0-9a-z]{32}-us[0-9]{1,2}",)),
    Plugin("npm", "NpmDetector", (
        r"//[^\s/]+/(?:\S{0,200}/)?:_authToken=\s*(?:npm_[A-Za-z0-9]{8,}|[A-Fa-f0-9-]{36})",
    )),
    Plugin("openai", "OpenAIDetector", (rf"sk-{_URL_SAFE}*[A-Za-z0-9]{{20}}T3BlbkFJ[A-Za-z0-9]{{20}}",)),
    Plugin("private_key", "PrivateKeyDetector", (
        r"(?:BEGIN (?:(?:DSA|EC|OPENSSH|RSA) )?PRIVATE KEY|BEGIN PGP PRIVATE KEY BLOCK|BEGIN SSH2 ENCRYPTED PRIVATE KEY"
        r"|PuTTY-User-Key-File-2)(?s:.{0,400}?)[A-Za-z0-9+/=]{40}[A-Za-z0-9+/=\s\\]*",
    )),
    Plugin("pypi_token", "PypiTokenDetector", (
        rf"pypi-(?:AgEIcHlwaS5vcmc|AgENdGVzdC5weXBpLm9yZw){_URL_SAFE}{{70,}}",
    )),
    Plugin("sendgrid", "SendGridDetector", (rf"SG\.{_URL_SAFE}{{22}}\.{_URL_SAFE}{{43}}",)),
    Plugin("slack", "SlackDetector", (
        "(?i:xox[abpors]-(?:[0-9]+-)+[a-z0-9]+)",
        "(?i:https://hooks.slack.com/services/T[a-z0-9_]+/B[a-z0-9_]+/[a-z0-9_]+)",
    )),
    Plugin("softlayer", "SoftlayerDetector", (
        rf"(?i:(?:softlayer|sl)[_-]?(?:api)?[_-]?{_WORD}{_ASSIGNED}[a-z0-9]{{64}})",
        "(?i:https?://api.softlayer.com/soap/v3(?:.1)?/[a-z0-9]{64})",
    )),
    Plugin("square_oauth", "SquareOAuthDetector", (r"sq0csp-[0-9A-Za-z\\_-]{43}",)),
    Plugin("stripe", "StripeDetector", ("[rs]k_live_[0-9a-zA-Z]{24}",)),
    Plugin("telegram_token", "TelegramBotTokenDetector", (f"[0-9]{{8,10}}:{_URL_SAFE}{{35}}",), random=True),
    Plugin("twilio", "TwilioKeyDetector", ("(?:AC|SK)[a-z0-9]{32}",)),
)  # fmt: skip
SIGNS = tuple(sign for plugin in PLUGINS for sign in plugin.signs)
_ANY = regex("|".join(SIGNS))
_PLACES = tuple(regex("|".join(plugin.signs)) for plugin in PLUGINS)

# What documentation writes where a secret would stand: a word for it, a character six times, or counting up by six.
_WORDS = (
    "example", "xxxx", "placeholder", "your", "dummy", "sample", "changeme", "redacted", "password", "insert", "fake",
    "****", "....", "ikpvag4grg9l", "eyjzdwiioiixmjm0nty3odkwi",  # the last two: jwt.io's sample token
)  # fmt: skip
_COUNTED = ("01234567890", "abcdefghijklmnopqrstuvwxyz")
_PLACEHOLDER = re.compile(
    "|".join([*map(re.escape, _WORDS), *(row[at : at + 6] for row in _COUNTED for at in range(len(row) - 5))])
    + r"|(.)\1{5}"
)
_LOOKED_AT = 500


@dataclass(frozen=True)
class Credential:
    """A credential in a text: detect-secrets' name for its type, and where it stands."""

    type: str
    start: int
    end: int


def credentials_in(text: str) -> tuple[Credential, ...]:
    """Every credential, in order. ``text`` is valid Unicode (no lone surrogates)."""
    return _search(text) if _ANY.search(text) else ()


@lru_cache(maxsize=8)  # value, evidence and masks of one record ask for the same text
def _search(text: str) -> tuple[Credential, ...]:
    found = [one for plugin, places in zip(PLUGINS, _PLACES, strict=True) for one in _by(plugin, places, text)]
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def _by(plugin: Plugin, places: Any, text: str) -> Iterator[Credential]:
    done = 0
    for place in places.finditer(text):
        start, end = place.span()
        if start < done:
            continue
        # One character more on each side, for what the plugin's pattern looks around for; not more than a place of a
        # bounded length, since its time may grow with the square of that.
        secrets = list(_loaded(plugin).analyze_string(text[max(0, start - 1) : min(end + 1, start + _LONGEST_PLACE)]))
        if not secrets:
            continue
        longest = max(secrets, key=len)
        secret = longest if len(longest) >= 8 else place[0]  # GitHub's pattern gives its prefix only
        if is_placeholder(secret) or (plugin.random and not _looks_random(secret)):
            continue
        while end < len(text) and text[end] in _TAIL:  # so that no rest of a longer one is ever shown
            end += 1
        done = end
        yield Credential(_loaded(plugin).secret_type, start, end)


@cache
def _loaded(plugin: Plugin) -> Any:
    """Imports detect-secrets at the first sign of a credential: 0.1 s that no other process spends."""
    return getattr(import_module(f"detect_secrets.plugins.{plugin.module}"), plugin.name)()


def is_placeholder(secret: str) -> bool:
    """Whether this is how documentation writes a secret: by a word for it, or by counting or repeating."""
    return _PLACEHOLDER.search(secret[:_LOOKED_AT].casefold()) is not None


def _looks_random(secret: str) -> bool:
    return any(c.isdigit() for c in secret) and any(c.isalpha() for c in secret)
