"""A calibration as a page: what was fitted, what it costs and finds, over thresholds, and the worst false alarms."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from firebreak.detectors.calibration import Calibration, Scored, Share, alarms
from firebreak.flows.calibration_data import Collected
from firebreak.flows.markdown import fenced, inline

GRID = [step / 20 for step in range(1, 20)]
BAR = 20  # characters
WORST = 5
WORKFLOWS = 20  # that have a row


@dataclass(frozen=True)
class Fit:
    """A calibration with what it rests on. ``now`` is the threshold in force before it."""

    name: str
    log: str
    days: int
    now: float
    result: Calibration
    data: Collected


def page(fit: Fit, standing: str) -> str:
    """The fit as Markdown; ``standing`` says whether it is in force. Prompts are quoted and bounded."""
    parts = [
        f"# Threshold of {inline(fit.name)}",
        _verdict(fit, standing),
        _rests_on(fit),
        _false_alarms(fit),
        _found(fit),
        _curve(fit),
        _worst(fit),
    ]
    return "\n\n".join(part for part in parts if part)


def told(share: Share) -> str:
    """A share in words, with its interval."""
    if share.rate is None or share.interval is None:
        return "none to judge by"
    low, high = share.interval
    return f"{share.rate:.2%} ({low:.2%} to {high:.2%}; {share.part:,} of {share.whole:,})"


def found(scores: Iterable[float], threshold: float) -> Share:
    """How many of the attacks reach the threshold."""
    reached = [score >= threshold for score in scores]
    return Share(sum(reached), len(reached))


def _verdict(fit: Fit, standing: str) -> str:
    result = fit.result
    budget = f"a false-positive rate of {result.budget:.2%} (until now {fit.now:.3f})"
    if result.kept:
        said = (
            f"**{result.threshold:.3f}** is the lowest threshold that keeps {budget}. "
            f"It may lie between {result.floor:.3f} and {result.ceiling:.3f}."
        )
    else:
        said = (
            f"**The budget is not kept.** {result.wanted:.3f} would keep {budget}, but above {result.ceiling:.3f} "
            "known attacks are no longer found. Give a larger budget, or an allow-list entry to whoever causes the "
            "false alarms below."
        )
    return f"{said} {inline(standing, 400)}"


def _rests_on(fit: Fit) -> str:
    result, data = fit.result, fit.data
    left = ", ".join(f"{count:,} {inline(why)}" for why, count in sorted(data.left_out.items()) if count) or "none"
    sender, most = Counter(p.sender for p in (*result.fitted, *result.held)).most_common(1)[0]
    rows = len(result.fitted) + len(result.held)
    return (
        f"Fitted on {len(result.fitted):,} distinct prompts of the last {fit.days} days, reported on the newest "
        f"{len(result.held):,}. {data.read:,} records of log {inline(fit.log)} were read; left out: {left}. "
        f"The most prompts ({most / rows:.0%}) are of {inline(sender)}. A false alarm that nobody has closed as "
        "`false-positive` is among those accused, and so is not in these figures."
    )


def _false_alarms(fit: Fit) -> str:
    result = fit.result
    rows = [("all", result.held)]
    for workflow, _ in Counter(prompt.workflow for prompt in result.held).most_common(WORKFLOWS):
        rows.append((workflow, tuple(prompt for prompt in result.held if prompt.workflow == workflow)))
    lines = ["## False alarms among the newest prompts", "", _header("Workflow", fit), "|---|---|---|"]
    for name, prompts in rows if len(rows) > 2 else rows[:1]:
        now, then = told(alarms(prompts, fit.now)), told(alarms(prompts, result.threshold))
        lines.append(f"| {inline(name)} | {now} | {then} |")
    return "\n".join(lines)


def _found(fit: Fit) -> str:
    lines = ["## Known attacks found", "", _header("From", fit), "|---|---|---|"]
    for source, scores in (
        ("a person's verdict", fit.data.verdicts),
        ("the shipped rules' own examples", fit.data.examples),
    ):
        lines.append(
            f"| {inline(source)} | {told(found(scores, fit.now))} | {told(found(scores, fit.result.threshold))} |"
        )
    return "\n".join(lines)


def _header(first: str, fit: Fit) -> str:
    return f"| {first} | until now ({fit.now:.3f}) | proposed ({fit.result.threshold:.3f}) |"


def _curve(fit: Fit) -> str:
    result, attacks = fit.result, [*fit.data.verdicts, *fit.data.examples]
    full = min(1.0, 10 * result.budget)
    lines = [f"threshold  false alarms (full bar: {full:.1%})      attacks found"]
    for threshold in sorted({*GRID, round(fit.now, 3), result.threshold}):
        wrong, right = alarms(result.held, threshold).rate or 0.0, found(attacks, threshold).rate or 0.0
        bars = f"{_bar(wrong / full)} {wrong:7.2%}  {_bar(right)} {right:4.0%}"
        marks = [m for m, at in (("until now", round(fit.now, 3)), ("proposed", result.threshold)) if at == threshold]
        lines.append(f"{threshold:9.3f}  {bars}  {', '.join(marks)}".rstrip())
    return "## Over thresholds\n\n```text\n" + "\n".join(lines) + "\n```"


def _bar(share: float) -> str:
    return ("█" * round(BAR * min(1.0, share))).ljust(BAR, "·")


def _worst(fit: Fit) -> str:
    result = fit.result
    everything = (*result.fitted, *result.held)
    caused = Counter(prompt.sender for prompt in everything if prompt.score >= result.threshold)
    lines = ["## The harmless prompts with the highest scores"]
    if caused:
        sender, count = caused.most_common(1)[0]
        lines.append(f"{caused.total()} reach the threshold; the most, {count}, are of {inline(sender)}.")
    for prompt in sorted(everything, key=lambda prompt: -prompt.score)[:WORST]:
        lines += [_heading(prompt), fenced(prompt.text, 300)]
    return "\n\n".join(lines)


def _heading(prompt: Scored) -> str:
    return f"Score {prompt.score:.3f}, workflow {inline(prompt.workflow)}, {inline(prompt.sender)}:"
