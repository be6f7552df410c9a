"""What a correlation costs: a hit that is counted, the same value seen again, a record without a hit, a group's state.

`python -m tests.benchmarks.correlation_speed`. Beside it, in the same run: counting by looking at all events of the
last window again at every hit, as a query over stored events does.
"""

import json
from collections import defaultdict
from datetime import timedelta
from time import process_time

from firebreak.detectors.correlations import Correlator
from firebreak.detectors.records import Record
from firebreak.detectors.rules import load_rules
from tests.detectors.correlating import call

RECORDS = 50_000
MINUTES = timedelta(minutes=10)


def records(tokens: int, denied: bool) -> list[Record]:
    """A hundred calls a second; a token has its own address, a user two tokens at most."""
    return [
        call(n, n / 100, token_id=f"key-{n % tokens}", user=f"user-{n % tokens // 2}",
             source_address=f"203.0.113.{n % tokens % 250}", status=401 if denied else 200)
        for n in range(RECORDS)
    ]  # fmt: skip


def again(all_records: list[Record]) -> int:
    """The naive way: every group's addresses within the window, looked through at each call."""
    groups: dict[str, list[Record]] = defaultdict(list)
    most = 0
    for record in all_records:
        group = groups[str(record.token_id)]
        group.append(record)
        recent = {r.source_address for r in group if record.time - r.time < MINUTES}
        most = max(most, len(recent))
    return most


def microseconds(seconds: float, number: int) -> str:
    return f"{seconds / number * 1e6:8.2f} µs"


def main() -> None:
    rules = load_rules()
    calls, bursts = records(200, denied=False), records(5_000, denied=True)
    for name, given, hits in (
        ("a call with a token, two value counts", calls, ("call-with-token",)),
        ("a denied call, two event counts", bursts, ("call-denied",)),
        ("a record without a hit", calls, ()),
    ):
        correlator = Correlator(rules.over_records)
        began = process_time()
        for record in given:
            correlator.feed(record, hits)
        print(f"{name:40} {microseconds(process_time() - began, len(given))}")
        if hits:
            began = process_time()
            rows = correlator.changed().rows
            size = sum(len(json.dumps(row.body)) for row in rows) / len(rows)
            took = microseconds(process_time() - began, len(rows))
            print(f"{'  a changed group, as a row':40} {took} {size:6.0f} bytes")
    few = calls[:20_000]
    began = process_time()
    again(few)
    print(f"{'looking at the window again (one count)':40} {microseconds(process_time() - began, len(few))}")


if __name__ == "__main__":
    main()
