"""A subject's windows reviewed at their close, in order: verdict, rules, and which alarms stand. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from firebreak.detectors.drift.persistence import confirmed
from firebreak.detectors.drift.spec import Persistence
from firebreak.detectors.findings import Finding
from firebreak.detectors.usage.baseline import DAY, DAYS, Baseline, baseline
from firebreak.detectors.usage.counts import WIDTH, Counts
from firebreak.detectors.usage.judging import judge
from firebreak.detectors.usage.window import UsageWindow

STAYS = Persistence(k=3, of=4, recover=6)  # windows; an alarm that comes and goes is one
_LOOKED_BACK = 24 * WIDTH  # for what stands, and for the hour that rates are joined over
_RENEWED = 12 * WIDTH  # what is ordinary is worked out again this often


@dataclass(frozen=True)
class Reviewed:
    """One window, and what was made of it: rules that matched, rules whose alarm stands. None: not reviewed yet."""

    began_us: int
    counts: Counts
    matched: tuple[str, ...] | None = None
    standing: tuple[str, ...] = ()


def review(
    subject: Literal["workflow", "token"],
    name: str,
    windows: Sequence[Reviewed],
    inspect: Callable[[UsageWindow], list[Finding]],
) -> tuple[list[Reviewed], list[Finding]]:
    """Review those of ``windows`` (oldest first, a week of them) that aren't yet.

    One window that matches is chance: findings are those of the alarms that stand. Windows in which one stood are no
    part of what is ordinary, so trouble that lasts doesn't become the rule until it has lasted a week.
    """
    done = list(windows)
    reviewed: list[Reviewed] = []
    findings: list[Finding] = []
    ordinary, known_at = Baseline(), None
    first = week = 0
    for at, window in enumerate(done):
        if window.matched is not None:
            continue
        if known_at is None or window.began_us - known_at >= _RENEWED:
            while done[week].began_us < window.began_us - DAYS * DAY:
                week += 1
            calm = [(each.began_us, each.counts) for each in done[week:at] if not each.standing]
            ordinary, known_at = baseline(calm, window.began_us), window.began_us
        while done[first].began_us < window.began_us - _LOOKED_BACK:
            first += 1
        recent = done[first : at + 1]
        found = inspect(judge(subject, name, [(each.began_us, each.counts) for each in recent], ordinary))
        window = replace(window, matched=tuple(sorted({finding.rule for finding in found})))
        standing = standing_after([*recent[:-1], window])
        done[at] = window = replace(window, standing=standing)
        reviewed.append(window)
        findings += [finding for finding in found if finding.rule in standing]
    return reviewed, findings


def standing_after(windows: Sequence[Reviewed]) -> tuple[str, ...]:
    """The rules whose alarm stands after the last of these windows."""
    rules = {rule for window in windows for rule in window.matched or ()}
    history = [{rule: rule in window.matched for rule in rules} for window in windows if window.matched is not None]
    return tuple(sorted(rule for rule, stands in confirmed(history, STAYS).items() if stands))
