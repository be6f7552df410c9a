"""One run's attempt at a retraining: counted before it begins, and said how it ended whichever way it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firebreak.blocks.store import Incident, Lease, LeaseLost, Retraining, RetrainingState, Store, StoreUnavailable
from firebreak.flows.executor import Loader
from firebreak.flows.incident_page import publish
from firebreak.flows.promotion import give_up, hand_over, signal_triaged
from firebreak.flows.retraining import Job, Run, make
from firebreak.flows.retraining_errors import NotYet, RetrainingRefused
from firebreak.flows.shared import run_id

TRIES = 3  # runs that may fail on one retraining before a person is asked


@dataclass(frozen=True)
class Means:
    """How steps are carried out, actions found, the incident's page shown and `respond` woken."""

    run: Run[Any]
    load: Loader
    show: Callable[[Store, int], None] = publish
    signal: Callable[[Incident], None] = signal_triaged


def work(store: Store, lease: Lease, retraining: Retraining, prepare: Callable[[], Job], means: Means) -> str:
    """One run's worth, under the retraining's lease; where the incident is in other hands just now, everything
    made is kept for a later run. Errors: as ``attempt``."""
    try:
        return attempt(store, lease, retraining, prepare, means)
    except NotYet as reason:
        store.retrainings.set(retraining.id, attempts=retraining.attempts)  # no failure of ours
        return f"retraining {retraining.id} waits: {reason}"


def attempt(store: Store, lease: Lease, retraining: Retraining, prepare: Callable[[], Job], means: Means) -> str:
    """Errors: NotYet, LeaseLost, StoreUnavailable; whatever failed (the last allowed failure ends the retraining)."""
    tries = retraining.attempts + 1
    retraining = store.retrainings.set(retraining.id, state=RetrainingState.RUNNING, run_id=run_id(), attempts=tries)
    if not retraining.open:
        return f"retraining {retraining.id} is {retraining.state}"

    def end(how: RetrainingState, *reasons: str) -> str:
        return give_up(store, retraining.id, how, list(reasons), means.show)

    if tries > TRIES:
        return end(
            RetrainingState.FAILED, f"{TRIES} runs did not finish it; last: {retraining.detail.get('error', 'killed')}"
        )
    try:
        job = prepare()
        verdict, version = make(job, means.run)
        if version is None or not verdict.passed:
            return end(RetrainingState.REFUSED, *verdict.reasons)
        needed = job.rules.approval, means.load, means.show, means.signal
        said: str = means.run(
            "hand over the promotion", lambda: hand_over(store, lease, retraining.id, version, *needed)
        )
        return said
    except RetrainingRefused as refusal:
        return end(RetrainingState.REFUSED, str(refusal))
    except (NotYet, LeaseLost, StoreUnavailable):
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
        store.retrainings.set(retraining.id, detail={"error": told})
        store.incidents.note(retraining.incident_id, "retraining-attempt-failed", "retrain", error=told)
        if tries >= TRIES:
            end(RetrainingState.FAILED, told)
        raise
