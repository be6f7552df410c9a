"""Made-up credentials and numbers with a valid checksum, for tests."""

from hypothesis import strategies as st
from stdnum import iban, luhn

LOWER, UPPER, DIGITS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
ALNUM, HEX = LOWER + UPPER + DIGITS, "0123456789abcdef"
SAFE = ALNUM + "_-"


def row(alphabet: str, length: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=length, max_size=length)


CREDENTIALS: dict[str, st.SearchStrategy[str]] = {
    "AWS Access Key": row(UPPER + DIGITS, 16).map(lambda s: f"AKIA{s}"),
    "Azure Storage Account access key": row(ALNUM + "+/", 88).map(lambda s: f"AccountKey={s}"),
    "Basic Auth Credentials": row(ALNUM, 12).map(lambda s: f"https://app:{s}7q@db.internal/x"),
    "Discord Bot Token": st.tuples(row(SAFE, 23), row(SAFE, 6), row(SAFE, 27)).map(lambda p: f"M{p[0]}.{p[1]}.{p[2]}"),
    "GitHub Token": row(ALNUM, 36).map(lambda s: f"ghp_{s}"),
    "GitLab Token": row(SAFE, 20).map(lambda s: f"glpat-{s}"),
    "IBM COS HMAC Credentials": row(HEX, 48).map(lambda s: f'"secret_access_key": "{s}"'),
    "Mailchimp Access Key": row(LOWER + DIGITS, 32).map(lambda s: f"{s}-us12"),
    "NPM tokens": row(ALNUM, 36).map(lambda s: f"//registry.npmjs.org/:_authToken=npm_{s}"),
    "OpenAI Token": st.tuples(row(ALNUM, 20), row(ALNUM, 20)).map(lambda p: f"sk-{p[0]}T3BlbkFJ{p[1]}"),
    "Private Key": row(ALNUM + "+/", 64).map(lambda s: f"-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----"),
    "PyPI Token": row(SAFE, 80).map(lambda s: f"pypi-AgEIcHlwaS5vcmc{s}"),
    "SendGrid API Key": st.tuples(row(SAFE, 22), row(SAFE, 43)).map(lambda p: f"SG.{p[0]}.{p[1]}"),
    "Slack Token": row(LOWER + DIGITS, 24).map(lambda s: f"xoxb-482913047122-{s}"),
    "SoftLayer Credentials": row(LOWER + DIGITS, 64).map(lambda s: f"softlayer_api_key = {s}"),
    "Square OAuth Secret": row(SAFE, 43).map(lambda s: f"sq0csp-{s}"),
    "Stripe Access Key": row(ALNUM, 24).map(lambda s: f"sk_live_{s}"),
    "Telegram Bot Token": row(SAFE, 35).map(lambda s: f"482913047:{s}"),
    "Twilio API Key": row(LOWER + DIGITS, 32).map(lambda s: f"SK{s}"),
}

_ISSUED = st.sampled_from([("4", 16), ("4", 13), ("51", 16), ("55", 16), ("2300", 16), ("34", 15), ("37", 15),
                           ("6011", 16), ("65", 16), ("3530", 16), ("36", 14), ("62", 16), ("62", 19)])  # fmt: skip


@st.composite
def cards(draw: st.DrawFn) -> str:
    """A card number as nobody has it, in one row."""
    prefix, length = draw(_ISSUED)
    body = prefix + draw(row(DIGITS, length - len(prefix) - 1))
    return body + str(luhn.calc_check_digit(body))


def grouped(card: str, separator: str) -> str:
    """As it is printed."""
    cuts = {15: (4, 10), 14: (4, 10), 16: (4, 8, 12), 19: (4, 8, 12, 16)}.get(len(card), ())
    return separator.join(card[a:b] for a, b in zip((0, *cuts), (*cuts, len(card)), strict=True))


@st.composite
def ibans(draw: st.DrawFn) -> str:
    """An IBAN of a country whose account numbers have no checksum of their own, without spaces."""
    country, alphabet, length = draw(
        st.sampled_from(
            [("DE", DIGITS, 18), ("AT", DIGITS, 16), ("LT", DIGITS, 16), ("DK", DIGITS, 14), ("AE", DIGITS, 19)]
        )
    )
    account = draw(row(alphabet, length))
    return country + iban.calc_check_digits(f"{country}00{account}") + account
