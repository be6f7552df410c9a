"""Making the candidate: the user's own training function, in this process, or a job of an external service."""

import importlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from traceback import extract_tb
from typing import Any

from firebreak.blocks.retraining_service import RetrainingService
from firebreak.blocks.web import WebUnreachable
from firebreak.flows.retraining_errors import RetrainingFailed, RetrainingRefused
from firebreak.flows.training_data import Rows

ASKED = 8  # training texts that a new model is asked about, to see that it is one


def train(dotted: str, rows: Rows) -> Any:
    """The estimator that ``dotted`` makes of the rows.

    Errors: RetrainingRefused (no such function, or what it gives back is no model), RetrainingFailed (it raised).
    What an exception says is never repeated: it may quote the texts.
    """
    function = _function(dotted)
    try:
        model = function(list(rows.texts), list(rows.labels))
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may be a ticket's
        raise RetrainingFailed(f"trainer {dotted} raised {_where(error)}") from None
    see_that_it_serves(model, f"trainer {dotted} gave back")
    few = Rows(rows.ids[:ASKED], rows.texts[:ASKED], rows.labels[:ASKED])
    try:
        strange = set(predictions(model, few)) - set(rows.labels)
    except RetrainingFailed as error:
        raise RetrainingRefused(
            f"trainer {dotted}: its model can't predict from a list of texts ({error}); return a fitted pipeline"
        ) from None
    if strange:
        raise RetrainingRefused(
            f"trainer {dotted}: its model predicts {sorted(strange)[0][:60]!r}, which is no label of the training "
            "data; it must predict the labels it was given"
        )
    return model


def see_that_it_serves(model: Any, what: str) -> None:
    """Errors: RetrainingRefused (the router couldn't use it)."""
    for verb in ("predict", "predict_proba"):
        if not callable(getattr(model, verb, None)):
            raise RetrainingRefused(
                f"{what} a {type(model).__name__} without {verb}(); the router needs labels and probabilities: make it "
                "a fitted estimator that has both"
            )


def predictions(model: Any, rows: Rows) -> tuple[str, ...]:
    """The model's label for each row. Errors: RetrainingFailed (it raised, or gave another number of them)."""
    if not len(rows):
        return ()
    try:
        found = tuple(str(label) for label in model.predict(list(rows.texts)))
    except Exception as error:  # noqa: BLE001 - as above
        raise RetrainingFailed(f"a {type(model).__name__} raised {_where(error)}") from None
    if len(found) != len(rows):
        raise RetrainingFailed(f"a {type(model).__name__} gave {len(found)} predictions for {len(rows)} texts")
    return found


def follow(
    service: RetrainingService,
    job_id: str,
    started: datetime,
    clock: Callable[[], datetime],
    tell: Callable[[str], None],
) -> str:
    """Wait for a job; the number of the model version it made. ``tell`` is called between looks, and may raise.

    Errors: RetrainingFailed (the job failed or took too long), WebRefused, WebNonsense.
    """
    ends = started + timedelta(minutes=service.timeout_minutes)
    while True:
        outcome, said = None, "running"
        try:
            outcome = service.outcome(job_id)
        except WebUnreachable as error:
            said = str(error)
        if outcome and outcome.state == "failed":
            raise RetrainingFailed(
                f"the service's job {job_id} failed: {_line(outcome.reason or 'it gives no reason')}"
            )
        if outcome and outcome.version is not None and outcome.state == "succeeded":
            return outcome.version
        if clock() >= ends:
            raise RetrainingFailed(
                f"the service's job {job_id} had no end after {service.timeout_minutes:g} minutes (last: {said}); "
                "raise timeout_minutes in the block retraining-service, or look at the service"
            )
        tell(f"job {job_id}: {said}")
        time.sleep(service.poll_seconds)


def _function(dotted: str) -> Callable[[list[str], list[str]], Any]:
    module, _, name = dotted.rpartition(".")
    todo = "install its package where the worker runs, or correct retraining.trainer in the policy"
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise RetrainingRefused(
            f"trainer {dotted} can't be imported: {type(error).__name__}: {_line(str(error))}; {todo}"
        ) from error
    if not callable(found):
        raise RetrainingRefused(f"trainer {dotted} is a {type(found).__name__}, not a function; {todo}")
    function: Callable[[list[str], list[str]], Any] = found
    return function


def _where(error: Exception) -> str:
    at = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {at.name} ({Path(at.filename).name}, line {at.lineno})"


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
