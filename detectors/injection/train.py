"""Train the injection score on labelled texts of your own.

Run: python -m firebreak.detectors.injection.train FOLDER [--out weights.yml] [--hold-out-each]

FOLDER holds JSON lines of `text` and `label` (1 attack, 0 benign), with `source` and `kind` if known: what `calibrate`
exports, too. With --hold-out-each every source is judged by weights that never saw it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firebreak.detectors.injection.fitting import fit, log_odds
from firebreak.detectors.injection.signals import Found, signals
from firebreak.detectors.injection.training_data import Labelled, TrainingDataError, read_folder
from firebreak.detectors.injection.weights import Weights
from firebreak.detectors.text.views import text_views

_HEAD = """\
# The weights of the injection score, in log-odds; written by `python -m firebreak.detectors.injection.train`.
# score = 1 / (1 + exp(-(intercept + the weights of the features found))), and 0 for a text without any sign.
# Trained on {sources}.
"""
Judge = Callable[[int], bool]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m firebreak.detectors.injection.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="of labelled *.jsonl")
    parser.add_argument("--out", type=Path, help="file to write the weights to; without it nothing is written")
    parser.add_argument("--hold-out-each", action="store_true", help="judge each source by weights trained without it")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        texts = read_folder(given.folder)
    except TrainingDataError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    found = [signals(text_views(text.text)) for text in track(texts, "reading texts", console=console, transient=True)]
    weights = fit(texts, found)
    console.print(_table("what was trained on", texts, lambda index: log_odds(found[index], weights) >= 0))
    if given.hold_out_each:
        console.print(_table("each source held out of training", texts, held_out(texts, found, console)))
    console.print(_shown(weights))
    if given.out:
        given.out.write_text(as_yaml(weights, texts), encoding="utf-8")
        console.print(f"written: {given.out}", markup=False, soft_wrap=True)
    return 0


def held_out(texts: Sequence[Labelled], found: Sequence[Found], console: Console | None = None) -> Judge:
    """Judges each text by weights trained without its source."""
    by_source: dict[str, Weights] = {}
    sources = sorted({text.source for text in texts})
    for source in track(sources, "holding out", console=console or Console(quiet=True), transient=True):
        kept = [index for index, text in enumerate(texts) if text.source != source]
        by_source[source] = fit([texts[index] for index in kept], [found[index] for index in kept])
    return lambda index: log_odds(found[index], by_source[texts[index].source]) >= 0


def as_yaml(weights: Weights, texts: Sequence[Labelled]) -> str:
    """The weights as the file of `weights.py`."""
    sources = ", ".join(sorted({text.source for text in texts}))
    content = yaml.safe_dump(weights.model_dump(), sort_keys=False, allow_unicode=True)
    return _HEAD.format(sources=sources) + content


def _table(title: str, texts: Sequence[Labelled], flagged: Judge) -> Table:
    table = Table("source", "attacks", "found", "benign", "flagged", title=title)
    rows = {
        source: [i for i, t in enumerate(texts) if t.source == source] for source in sorted({t.source for t in texts})
    }
    for source, indexes in {**rows, "all": list(range(len(texts)))}.items():
        attacks = [flagged(index) for index in indexes if texts[index].attack]
        benign = [flagged(index) for index in indexes if not texts[index].attack]
        table.add_row(source, str(len(attacks)), _share(attacks), str(len(benign)), _share(benign))
    return table


def _share(flags: list[bool]) -> str:
    return f"{sum(flags) / len(flags):.1%}" if flags else "-"


def _shown(weights: Weights) -> Table:
    table = Table("feature", "weight", title=f"intercept {weights.intercept}, threshold {weights.threshold}")
    for name, weight in sorted(weights.weights.items(), key=lambda pair: -pair[1]):
        table.add_row(name, f"{weight:+.2f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
