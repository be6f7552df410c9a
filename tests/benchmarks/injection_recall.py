"""How much the injection score finds, each source of labelled texts held out of training in turn.

Beside it, on the same texts, the pattern rules alone. Then the shipped weights through the folder's own `score.py`.

Run: python -m tests.benchmarks.injection_recall [FOLDER]
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from rich.progress import track

from firebreak.detectors.drift.performance import wilson
from firebreak.detectors.facts import Facts
from firebreak.detectors.injection.fitting import fit, log_odds
from firebreak.detectors.injection.score import judge
from firebreak.detectors.injection.signals import Found, signals
from firebreak.detectors.injection.train import held_out
from firebreak.detectors.injection.training_data import Labelled, read_folder
from firebreak.detectors.records import Record
from firebreak.detectors.rules import RuleSet, load_rules
from firebreak.detectors.text.views import text_views

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "eval" / "injection"
AIM, LEAST, MOST_FALSE, MOST_FALSE_HARD = 0.5, 0.35, 0.02, 0.03
HARD = "hard-negative"
Flag = Callable[[int], bool]


def by_patterns(rules: RuleSet, texts: list[Labelled]) -> Flag:
    """What the pattern rules say about each text, as a user's prompt."""
    ids = {rule.id for rule in rules.rules if rule.kind == "prompt-injection" and rule.vote == "patterns"}
    now = datetime(2026, 1, 31, tzinfo=UTC)
    flagged = [
        any(f.rule in ids for f in rules.inspect(Record(time=now, workflow="w", user="u", prompt=text.text), Facts()))
        for text in track(texts, "pattern rules", transient=True)
    ]
    return lambda index: flagged[index]


def kind_held_out(texts: list[Labelled], found: list[Found]) -> Flag:
    """Each attack judged by weights that saw no attack of its kind."""
    weights = {}
    for kind in {text.kind for text in texts}:
        kept = [i for i, text in enumerate(texts) if text.kind != kind]
        weights[kind] = fit([texts[i] for i in kept], [found[i] for i in kept])
    return lambda index: log_odds(found[index], weights[texts[index].kind]) >= 0


def table(title: str, texts: list[Labelled], groups: Callable[[Labelled], str], ways: dict[str, Flag]) -> None:
    print(f"\n{title:<30}" + "".join(f"{name:>30}" for name in ways))
    for group in sorted({groups(text) for text in texts}):
        for attack, word in ((True, "recall"), (False, "false alarms")):
            chosen = [i for i, text in enumerate(texts) if groups(text) == group and text.attack is attack]
            if chosen:
                cells = "".join(f"{share(map(flag, chosen), len(chosen)):>30}" for flag in ways.values())
                print(f"{group + ', ' + word:<30}{cells}")


def share(flags: Iterable[bool], whole: int) -> str:
    part = sum(flags)
    low, high = wilson(part, whole)
    return f"{part / whole:.3f} [{low:.3f}, {high:.3f}] n={whole}"


def official(folder: Path) -> ModuleType | None:
    """The folder's own `score.py`, if it has one."""
    file = folder / "score.py"
    if not file.exists():
        return None
    spec = importlib.util.spec_from_file_location("official_score", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DATA, help="of labelled *.jsonl; default: %(default)s")
    folder = parser.parse_args().folder
    texts = read_folder(folder)
    found = [signals(text_views(text.text)) for text in track(texts, "reading texts", transient=True)]
    score, patterns = held_out(texts, found), by_patterns(load_rules(), texts)
    ways = {"score, source held out": score, "pattern rules alone": patterns}
    table("by source", texts, lambda text: text.source, ways)
    table("by kind", texts, lambda text: text.kind, {"score, kind held out": kind_held_out(texts, found), **ways})
    table("all", texts, lambda text: "all", ways)

    if module := official(folder):
        rows = module.load()
        print()
        module.report(
            "the shipped weights (which saw all of it)",
            module.metrics(rows, [judge(row["text"]) for row in rows], judge.threshold),  # type: ignore[attr-defined]
            module.timing(judge, rows, 1500),
        )
    sys.exit(missed(texts, score))


def missed(texts: list[Labelled], flag: Flag) -> str | None:
    """What the aims say about it; None where they are met."""
    said = []
    for source in sorted({text.source for text in texts if text.attack}):
        hits = [flag(i) for i, text in enumerate(texts) if text.attack and text.source == source]
        if sum(hits) < LEAST * len(hits):
            said.append(f"recall on {source} is {sum(hits) / len(hits):.3f}, below {LEAST} (the aim is {AIM})")
    for what, most, kinds in (("false alarms", MOST_FALSE, None), ("on hard negatives", MOST_FALSE_HARD, HARD)):
        alarms = [flag(i) for i, t in enumerate(texts) if not t.attack and kinds in (None, t.kind)]
        if alarms and sum(alarms) > most * len(alarms):
            said.append(f"{what}: {sum(alarms) / len(alarms):.3f}, above {most}")
    return "; ".join(said) or None


if __name__ == "__main__":
    main()
