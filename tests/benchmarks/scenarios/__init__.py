"""The support desk of the scenarios: its tickets, built in or from any labelled CSV, and what its log holds of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DEFAULT_ROWS, FEWEST_ROWS = 16_000, 1_500
WHOLE_ROWS = 5_600  # of a table that has room for the longest periods
PERIODS = ((800, 1500), (300, 1001), (200, 1001))  # rows of training, reference and current period: from, to
SHORTEST = 150

# One phrase a line; [a/b] is a choice, {name} a slot below.
QUEUES = {
    "billing": """I was [charged/billed/debited] [twice/three times/again] for the {month} [invoice/subscription/bill]
The [refund/credit note] for {money} [never arrived/is still missing/has not reached our bank]
Our [VAT number/tax id/company address] is [wrong/missing/outdated] on the [invoice/receipt/statement]
Please [cancel/downgrade/pause] our {plan} plan at the end of the [billing period/quarter/contract]
How much [does/would] the {plan} plan cost for {n} [seats/users/licences]
The [credit card/bank transfer/direct debit] was [declined/rejected/returned] [yesterday/twice/without a reason]
We need a [quote/purchase order/pro forma invoice] for {n} [seats/licences] [this week/before {month}]
Why did the [price/fee/rate] of the {plan} plan [go up/change/double] in {month}
Could you move us from [monthly/quarterly] to [yearly/annual] [payment/billing]
The [discount/voucher/coupon] [code/promised by sales] was not [applied/accepted] to our [order/renewal]""",
    "access": """I [forgot/lost/mistyped] my password and the reset [mail/link/code] [never comes/has expired]
The [authenticator/two-factor/SMS] code is [rejected/not accepted/always wrong] since I [changed/lost] my phone
My [account/login/user] is [locked/blocked/suspended] after [too many attempts/the holiday/{n} failures]
{name} [joined/left] our team, please [add/remove/deactivate] the [user/account/login]
Single sign-on [with/through] {vendor} [fails/loops/ends on a blank page] when I [log in/sign in]
I need [admin/owner/read-only] [rights/permissions/role] for the {area}
[Nobody/Only {name}/Half of the team] can [sign in/log in/get in] [this morning/since {month}/today]
The invitation for {name} [expired/went to the wrong address/was never delivered]
How do I [change/transfer] the [owner/administrator] of our workspace to {name}
I am [logged out/signed out] every [few minutes/hour] in {browser}""",
    "bug": """The {area} [crashes/freezes/goes blank] when I [click/press/open] [save/the filter/a large file]
After the [update/release] the {area} shows [an error/wrong totals/nothing at all] in {browser}
[Export/Import] to {format} [fails/stops/hangs] at {n} percent with error {code}
The [search/filter/sort] in the {area} returns [duplicate/empty/wrong] [results/rows]
[Dates/Totals/Charts] in the {area} are [off by one/wrong/shifted] since {month}
The [app/page/mobile version] is [extremely slow/unresponsive] when loading the {area}
[Notifications/Reminders/Mails] are [sent twice/not sent/delayed by hours] [since yesterday/after the update]
[Uploading/Previewing/Printing] a {format} file [gives error {code}/never finishes/breaks the layout]
My [changes/comments/drafts] [disappear/are lost/get overwritten] when {name} [edits/opens] the same page
The [button/menu/scroll bar] in the {area} [does nothing/is cut off/overlaps] on {browser}""",
    "how-to": """How can I [create/build/set up] a [report/template/chart] in the {area}
Is there a [way/shortcut] to [copy/archive/rename] [many/several/{n}] [projects/files/tasks] at once
Where do I find the [setting/option] for [time zone/language/dark mode/week numbers]
Can I [schedule/share/print] the {area} [weekly/with a customer/as {format}]
What is the [difference/best choice] between [labels and folders/boards and lists/guests and members]
How do I [import/load] [contacts/tasks/hours] from a {format} file
Please explain how to [group/filter/colour] [tasks/rows] by [customer/month/priority]
Do you have a [guide/video/tutorial/course] [for beginners/about the {area}]
How [should/can] we [organise/name/nest] our [projects/folders] with {n} people
Is it possible to [undo/restore] a [deleted/archived] [project/page/comment] after {n} days""",
    "integration": """The {vendor} [connector/integration/sync] [stopped/fails] with [status/error] {code}
Our webhook [receives/gets] [no events/duplicate events/an empty body] since {month}
Which [scope/endpoint/header] does the API need to [create/list/delete] [tasks/users/files]
The API [key/token] is [rejected/refused] with {code} although it was [created/rotated] [today/in {month}]
We hit the [rate limit/quota] of the API at {n} requests a [minute/second]
Can the {vendor} integration [sync/map] [custom fields/attachments/comments] [both ways/to our CRM]
[Pagination/Filtering] in the REST API [skips/repeats] [rows/pages] after {n} [items/records]
Is there a [Python/Java/Terraform] [client/SDK/library] for your [API/webhooks]
The [payload/signature/timestamp] of your webhook [does not match/cannot be verified]
How do we [connect/link] {vendor} to the {area} [for all users/in the sandbox]""",
}
SLOTS = {
    "month": "January February March April May June July August September October November December",
    "plan": "team business starter enterprise basic premium family",
    "name": "Anna Marek Yuki Olu Priya Jonas Lucía Chen Fatima Noah Ingrid Tomasz Amara Pavel Sofia Diego Leila Kofi",
    "vendor": "Okta Slack Jira Salesforce Azure Google Zapier HubSpot GitHub Teams Notion SAP Workday",
    "area": "dashboard calendar timesheet board inbox report editor archive timeline gallery roadmap directory",
    "browser": "Firefox Safari Chrome Edge Android iPad Opera Linux",
    "format": "CSV PDF Excel Word JSON XML PNG",
}
BEFORE = """Hello,|Hi team,|Good morning,|Hi,|Dear support,|Hey,|Urgent:|||||Sorry to bother you again,|Quick question.
|As discussed with {name},|I am writing for {firm}."""
AFTER = """||||Thanks!|Thank you, {name}|Please [help/advise/check] [soon/today].
|We [tried/checked] [again/it twice] already.
|It worked [last week/in {month}/before].|Our [customers/colleagues/managers] at {firm} are [waiting/asking/annoyed].
|Best regards, {name}|Ticket {code} was about the same.|I could not find it in the [help/documentation/dashboard].
|This is about our {plan} plan.|I use {browser}.|Can someone call me at {n}?"""


def built_in(seed: int, rows: int = DEFAULT_ROWS) -> pd.DataFrame:
    """Tickets as in a support desk: two in a hundred are filed wrongly, some are misspelt, names never end."""
    rng = np.random.default_rng([seed, 1])
    labels = rng.choice(list(QUEUES), rows, p=[0.26, 0.2, 0.24, 0.18, 0.12])
    texts = [_ticket(label, rng) for label in labels]
    wrong = rng.random(rows) < 0.02
    labels[wrong] = rng.choice(list(QUEUES), int(wrong.sum()))
    times = pd.Timestamp("2025-01-06", tz="UTC") + pd.to_timedelta(np.cumsum(rng.exponential(900, rows)), unit="s")
    return pd.DataFrame({"text": texts, "label": labels, "timestamp": times})


def read_tickets(path: Path) -> pd.DataFrame:
    """Any labelled text CSV, sorted by time. Errors: SystemExit saying what the file lacks."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := sorted({"text", "label", "timestamp"} - set(table)):
        raise SystemExit(f"{path}: column {', '.join(missing)} is missing; needed are text, label, timestamp")
    table = table[(table.text.str.strip() != "") & (table.label != "")]
    try:
        table["timestamp"] = pd.to_datetime(table.timestamp, utc=True, format="mixed")
    except ValueError as error:
        raise SystemExit(f"{path}: column timestamp: {error}") from error
    if len(table) < FEWEST_ROWS or table.label.nunique() < 2:
        raise SystemExit(f"{path}: {len(table)} rows with text and label; needed are {FEWEST_ROWS} and two labels")
    return table[["text", "label", "timestamp"]].sort_values("timestamp", kind="stable", ignore_index=True)


def _ticket(label: str, rng: np.random.Generator) -> str:
    parts = [rng.choice(BEFORE.replace("\n", "").split("|")), rng.choice(QUEUES[label].split("\n")) + ".",
             rng.choice(AFTER.replace("\n", "").split("|"))]  # fmt: skip
    if rng.random() < 0.15:  # a second trouble, told in passing
        parts.insert(2, rng.choice(QUEUES[str(rng.choice(list(QUEUES)))].split("\n")) + ".")
    text = " ".join(part for part in parts if part)
    while choice := re.search(r"\[([^\[\]]+)\]", text):
        text = text.replace(choice[0], str(rng.choice(choice[1].split("/"))), 1)
    while slot := re.search(r"\{(\w+)\}", text):
        text = text.replace(slot[0], _filled(slot[1], rng), 1)
    if rng.random() < 0.2:  # a slip of the finger
        at = int(rng.integers(1, len(text) - 1))
        text = text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
    return text


def _filled(slot: str, rng: np.random.Generator) -> str:
    number = int(rng.integers(2, 1000))
    made = {
        "n": f"{number}",
        "money": f"{number} euros",
        "code": f"{number}{'ABEX'[number % 4]}",
        "firm": made_up_word(rng),
    }
    return made[slot] if slot in made else str(rng.choice(SLOTS[slot].split()))


def made_up_word(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list("bdfgklmnprstvz")) + rng.choice(list("aeiou")) for _ in range(rng.integers(2, 5)))


def periods(rows: int, rng: np.random.Generator) -> list[int]:
    """The rows of training, reference and current period; of a table with fewer than WHOLE_ROWS rows, fewer."""
    scale = min(1.0, rows / WHOLE_ROWS)
    return [int(rng.integers(max(SHORTEST, int(scale * least)), int(scale * most))) for least, most in PERIODS]


def recorded(tickets: pd.DataFrame, version: str, model: Any, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """What the interaction log holds of these tickets, in the columns of `frame_of`."""
    texts, rows = tickets.text.tolist(), len(tickets)
    chances = model.predict_proba(texts)
    answers = rng.lognormal(4.4, 0.4, rows) * (0.9 + 0.2 * chances.argmax(axis=1) / len(model.classes_))
    lengths = np.array([len(text) for text in texts])
    frame = pd.DataFrame({
        "id": [f"{version}-{number:016x}" for number in rng.integers(0, 2**62, rows)],
        "time": tickets.timestamp.array,
        "user": [f"user-{number}" for number in rng.integers(0, 400, rows)],
        "token_id": "support-key",
        "flow_run_id": [f"run-{number:x}" for number in rng.integers(0, 2**48, rows)],
        "text": texts,
        "prompt_length": lengths,
        "response_length": np.floor(answers * rng.normal(4.2, 0.2, rows)),
        "non_letter_share": [sum(not (c.isalpha() or c.isspace()) for c in t) / max(1, len(t)) for t in texts],
        "latency_ms": 180 + answers * rng.lognormal(1.8, 0.3, rows),
        "prompt_tokens": np.floor((lengths / 4.1 + rng.normal(3, 1.5, rows)).clip(0)),
        "response_tokens": np.floor(answers),
        "model_version": "2026-01",
        "router_label": model.classes_[chances.argmax(axis=1)],
        "router_confidence": chances.max(axis=1).round(4),
        "router_version": version,
        "feedback": np.where(rng.random(rows) < share, tickets.label.to_numpy(object), None),
    })  # fmt: skip
    texts_of = [name for name in frame if name != "time" and not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.astype(dict.fromkeys(texts_of, object) | {"prompt_length": "float64"})
