"""The close of a window of use: judged against its own past, findings written with the verdict."""

from datetime import datetime, timedelta
from time import monotonic
from typing import Literal, cast

from firebreak.blocks.store import Batch, Counted, JudgedUse, Report, Store
from firebreak.detectors.allowlist import keep_back
from firebreak.detectors.rules import RuleSet
from firebreak.detectors.usage.baseline import DAYS
from firebreak.detectors.usage.counts import SECONDS, microseconds, moment
from firebreak.detectors.usage.review import Reviewed, review

GRACE = timedelta(minutes=2)  # a call is logged at its end, and counted a moment later
STILL_NEWS = timedelta(hours=24)  # older windows only say what is ordinary
MOST_SECONDS = 1.0  # of one call, so that the scan goes on; the others wait for the next


def close_windows(store: Store, rules: RuleSet, now: datetime) -> Report:
    """Judge the windows that have closed, oldest first; in one transaction. Errors: StoreUnavailable.

    For a scan that has reached the end of its log: before that, a window of the past may still be filling. A window
    that more was counted into is judged again, and the same finding isn't written twice.
    """
    until, ends = now - timedelta(seconds=SECONDS) - GRACE, monotonic() + MOST_SECONDS
    waiting: dict[tuple[str, str], datetime] = {}
    for subject, name, began_at in store.usage.unjudged(now - STILL_NEWS, until):
        waiting.setdefault((subject, name), began_at)
    batch, facts = Batch(), store.facts()
    for (subject, name), began_at in waiting.items():
        kept = store.usage.windows(subject, name, began_at - timedelta(days=DAYS), until)
        windows = [_reviewed(each, began_at) for each in kept]
        kind = cast(Literal["workflow", "token"], subject)
        judged, found = review(kind, name, windows, lambda window: rules.inspect_window(window, facts))
        left, allowed = keep_back(found, facts.allow)
        batch.findings += left
        for entry, count in allowed.items():
            batch.allowed[entry] = batch.allowed.get(entry, 0) + count
        batch.judged_use += [
            JudgedUse(subject, name, moment(each.began_us), each.matched or (), each.standing) for each in judged
        ]
        if monotonic() > ends:
            break
    if not batch.judged_use:
        return Report()
    store.usage.forget_old()
    return store.report(batch, "scan-logs")


def _reviewed(kept: Counted, began_at: datetime) -> Reviewed:
    """What is older than the first that waits is never judged, so it counts as done."""
    done = kept.matched if kept.began_at >= began_at else kept.matched or ()
    return Reviewed(microseconds(kept.began_at), kept.counts, done, kept.standing or ())
