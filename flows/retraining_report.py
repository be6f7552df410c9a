"""The report that a registered candidate carries: data, both models' numbers, and the gate's reasons, as Markdown."""

from typing import Any

from firebreak.blocks.store import Retraining
from firebreak.flows.gate import GateVerdict
from firebreak.flows.markdown import inline
from firebreak.flows.training_data import TrainingData


def markdown(retraining: Retraining, data: TrainingData, champion: str, verdict: GateVerdict) -> str:
    """All text from records (labels) is quoted and bounded."""
    lineage = data.lineage
    lines = [
        f"# Candidate of retraining {retraining.id} for dataset {inline(retraining.dataset)}",
        "",
        f"Asked for by incident {retraining.incident_id}. Compared with champion version {champion}.",
        "",
        f"**Gate: {'passed' if verdict.passed else 'refused'}**",
        "",
        *(f"- {inline(reason, 300)}" for reason in verdict.reasons),
        "",
        "## Data",
        "",
        "| Part | Records | SHA-256 of ids, text hashes and labels |",
        "|---|---|---|",
        *(f"| {name} | {rows} | `{lineage['sha256'][name]}` |" for name, rows in lineage["rows"].items()),
        "",
        "Left out: " + (", ".join(f"{n} {inline(why)}" for why, n in data.left_out.items() if n) or "none") + ".",
        f"{shared(data)} of the recent test's texts stand in the training data word for word, under other ids.",
    ]
    for test, numbers in verdict.numbers.items():
        lines += ["", f"## On {test} rows ({numbers['rows']})", "", *_table(numbers)]
    return "\n".join(lines) + "\n"


def shared(data: TrainingData) -> int:
    """How many test rows repeat a text of the training data: a model may know these by heart."""
    known = set(data.train.texts)
    return sum(text in known for text in data.recent.texts)


def _table(numbers: dict[str, Any]) -> list[str]:
    low, high = numbers["gain_interval"]
    lines = ["| | Rows | Champion | Candidate |", "|---|---|---|---|"]
    lines.append(f"| accuracy | {numbers['rows']} | {_share(numbers['champion'])} | {_share(numbers['candidate'])} |")
    for label, one in numbers["classes"].items():
        pair = [_share({"accuracy": one[who], "interval": one[f"{who}_interval"]}) for who in ("champion", "candidate")]
        lines.append(f"| recall of {inline(label)} | {one['rows']} | {pair[0]} | {pair[1]} |")
    return [
        *lines,
        "",
        f"Gain {numbers['gain']:+.1%} ({low:+.1%} to {high:+.1%}); right alone: candidate {numbers['only_candidate']}, "
        f"champion {numbers['only_champion']}; McNemar's exact test, one-sided: p = {numbers['p_value']:.4f}.",
    ]


def _share(one: dict[str, Any]) -> str:
    low, high = one["interval"]
    return f"{one['accuracy']:.1%} ({low:.1%} to {high:.1%})"
