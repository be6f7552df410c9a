"""Hyperscan beside google-re2 on the shipped patterns: `python -m tests.benchmarks.engines [--texts folder]`.

Megabytes a second, of CPU time, on made talk (few sentences, many times) and on the texts of `.jsonl` files (`text` in
each line), twice over: RE2 makes its automaton's states as it meets them.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

import hyperscan

from firebreak.detectors.injection.features import signs
from firebreak.detectors.leaks import credentials, personal
from firebreak.detectors.rules import load_rules
from firebreak.detectors.scan.engine import _compile, _re2, by_line
from firebreak.detectors.text.views import VIEW_SIGNS
from tests.benchmarks.made_logs import Maker

EVAL = Path(__file__).parents[3] / "shared" / "eval" / "injection"
BLOCK = 64_000


def patterns() -> dict[str, list[str]]:
    atoms = load_rules().matcher.atoms
    return {
        "rules": sorted({atom.pattern.pattern for atom in atoms if atom.pattern is not None}),
        "signs of the score": list(signs()),
        "signs of views": sorted(set(VIEW_SIGNS.values())),
        "leaks": [*credentials.SIGNS, *personal.SIGNS],
    }


def by_re2(each: Sequence[str]) -> Callable[[bytes], None]:
    found = _re2(each).found

    def scan(block: bytes) -> None:
        found(block)

    return scan


def by_hyperscan(each: Sequence[str]) -> Callable[[bytes], None]:
    database = _compile([by_line(pattern) for pattern in each], range(len(each)))
    scratch = hyperscan.Scratch(database)

    def scan(block: bytes) -> None:
        database.scan(block, match_event_handler=lambda *match: None, scratch=scratch)

    return scan


def speed(scan: Callable[[bytes], None], blocks: list[bytes]) -> str:
    figures = []
    for _ in range(2):
        begun = process_time()
        for block in blocks:
            scan(block)
        figures.append(f"{sum(map(len, blocks)) / 1e6 / (process_time() - begun):6.0f}")
    return " then ".join(figures) + " MB/s"


def blocks_of(texts: Sequence[str]) -> list[bytes]:
    data = "\n".join(text for text in texts if text.isascii()).encode()
    return [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]


def main(folder: Path) -> None:
    texts = [json.loads(line)["text"] for file in sorted(folder.glob("*.jsonl")) for line in file.open("rb")]
    random.Random(1).shuffle(texts)
    sources = {"made talk": blocks_of(Maker(hostile=False).plain[:1_000])}
    if texts:
        sources[f"{folder.name}/*.jsonl"] = blocks_of(texts)
    for name, blocks in sources.items():
        print(f"{name}, {sum(map(len, blocks)) / 1e6:.1f} MB")
        for kind, each in patterns().items():
            ways = {"hyperscan": by_hyperscan(each), "re2": by_re2(each)}
            for engine, scan in ways.items():
                print(f"  {kind:<20}{len(each):>4} patterns  {engine:<10}{speed(scan, blocks)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, default=EVAL, help="folder of .jsonl files (default: %(default)s)")
    main(parser.parse_args().texts)
