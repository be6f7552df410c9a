"""calibrate: fit the injection score's threshold to a false-alarm budget on your own harmless prompts."""

import math
import statistics
from collections.abc import Callable
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Store
from firebreak.detectors.calibration import TooFew, alarms, fit_threshold
from firebreak.detectors.injection.score import injection_score
from firebreak.detectors.injection.weights import shipped
from firebreak.flows.calibration_data import Score, collect
from firebreak.flows.calibration_page import Fit, page, told
from firebreak.flows.shared import load_block, open_store

NAME = "injection_score"  # the derived field, and the threshold's name in the facts
FLOOR = 0.5  # of the shipped threshold: a log of a few short phrases must not make every other text suspect


class CalibrationRefused(Exception):
    """The threshold stays as it is; the message says why, and what to do."""


def shipped_score(text: str) -> float:
    return injection_score(text).value


@task(name="fit", task_run_name="fit a threshold on {log.path}", cache_policy=NO_CACHE, persist_result=False)
def fit(store: Store, log: InteractionLog, name: str, budget: float, days: int, score: Score = shipped_score) -> Fit:
    """Read, score and fit. Errors: CalibrationRefused (too few harmless prompts), LogUnreadable."""
    data = collect(store, log, days, score, show_progress(f"Reading and scoring {log.path}"))
    usual = shipped().threshold
    try:
        result = fit_threshold(data.prompts, budget, FLOOR * usual, ceiling_of(data.examples, usual))
    except TooFew as error:
        left = ", ".join(f"{count} {why}" for why, count in data.left_out.items() if count) or "none"
        raise CalibrationRefused(f"log {name}, last {days} days: {error}. Left out: {left}") from error
    return Fit(NAME, name, days, store.facts().thresholds.get(NAME, usual), result, data)


def ceiling_of(examples: list[float], usual: float) -> float:
    """The highest threshold that may be put in force, whatever comes in: of the attacks beside the shipped rules that
    the shipped threshold finds, it still finds half."""
    found = [score for score in examples if score >= usual]
    return math.floor(statistics.median_low(found) * 1000) / 1000 if found else usual


def show_progress(what: str) -> Callable[[float], None]:
    """A progress artifact of this run, in percent."""
    artifact = create_progress_artifact(0.0, description=what)
    assert isinstance(artifact, UUID), "not in an async flow"

    def tell(percent: float) -> None:
        update_progress_artifact(artifact, percent)

    return tell


def put_in_force(store: Store, done: Fit, by: str, why: str) -> None:
    """Write the threshold with what it rests on. Errors: CalibrationRefused (the budget isn't kept)."""
    result = done.result
    if not result.kept:
        raise CalibrationRefused(
            f"the budget of {result.budget:.2%} asks for {result.wanted:.3f}, above the ceiling of "
            f"{result.ceiling:.3f}: give a larger budget, or see the page for who causes the false alarms"
        )
    held = alarms(result.held, result.threshold)
    body = {
        "why": why,
        "log": done.log,
        "days": done.days,
        "budget": result.budget,
        "fitted": len(result.fitted),
        "held": held.whole,
        "false_alarms": held.part,
        "former": done.now,
    }
    store.registers.put_threshold(done.name, result.threshold, body, by)


def publish(done: Fit, standing: str) -> None:
    create_markdown_artifact(
        markdown=page(done, standing), key="calibrate-injection-score", description="Threshold of the injection score"
    )


@flow(name="calibrate")
def calibrate(
    log: str = Field(default="firebreak", description="the document's name, of the block interaction-log"),
    budget: float = Field(default=0.01, ge=0.0005, le=0.1, description="false-positive rate that is borne, as 0.01"),
    days: int = Field(default=30, ge=1, le=3660, description="how far back the log's records count"),
    put: bool = Field(default=False, description="put the threshold in force; otherwise it is only reported"),
    by: str = Field(default="", pattern=r"^[\w .,'@+\-]{0,80}$", description="with put: who; kept as typed"),
    why: str = Field(default="", max_length=500, description="with put: why; kept with the threshold"),
) -> str:
    """The lowest threshold that keeps the budget on harmless prompts; guard and scan read it with their facts.

    Errors: CalibrationRefused (too few prompts, nobody named, or the budget isn't kept), LogUnreadable, ValueError.
    """
    if put and not by.strip():
        raise CalibrationRefused("put=true needs by=your name: a threshold is put in force by a person")
    store = open_store()
    done = fit(store, load_block(InteractionLog, log), log, budget, days)
    publish(done, f"To be put in force by {by}: {why}" if put else "Not in force: run it again with put=true to do so.")
    if put:
        put_in_force(store, done, by.strip(), why)
    held, now = alarms(done.result.held, done.result.threshold), alarms(done.result.held, done.now)
    standing = f"in force, put by {by.strip()}" if put else "only reported, not in force"
    get_run_logger().info("false alarms until now: %s", told(now))
    return f"threshold {done.result.threshold:.3f} (until now {done.now:.3f}): {told(held)} false alarms; {standing}"
