"""How fast a log is scanned, from the file to stored findings, beside ripgrep and Python's ``re`` on the same patterns.

Run: python -m tests.benchmarks.scan_speed [--mb 1000]; it wants ripgrep (apt-get install -y ripgrep), three times as
much room under build/ as the size named, and leaves nothing behind. Seconds are the process's own CPU time, with the
wall clock's beside them; peak memory is that of a process that does nothing else.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, process_time

from rich.progress import Progress

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Store
from firebreak.detectors.correlations import Correlator
from firebreak.detectors.facts import TokenGrant
from firebreak.detectors.rules import SHIPPED, RuleSet, load_rules
from firebreak.detectors.scan.lines import LineScan
from firebreak.flows.scanning import Scanner
from tests.benchmarks.made_logs import make_log

ROOT = Path(__file__).parents[2]
RE_BYTES = 3_000_000  # `re` is timed on a slice of this size and its time scaled to the whole
SLOW_BYTES = 60_000_000  # findings are compared with the slow scan's on as much as this
RIPGREP_SECONDS = 60  # ripgrep is given up after so long (its Unicode word bounds are slow on other letters)
AIMS = {("plain", "patterns"): 1.0, ("hostile", "patterns"): 0.5, ("plain", "all"): 0.5, ("hostile", "all"): 0.3}


def pattern_rules(folder: Path) -> RuleSet:
    """The shipped rules that look for patterns in a text and at nothing else, copied to ``folder``."""
    everything = load_rules()
    atoms = everything.matcher.atoms
    for rule in everything.rules:
        if rule.service == "interaction-log" and rule.speaking and all(atoms[n].pattern for n in rule.speaking):
            shutil.copy(SHIPPED / f"{rule.id.replace('-', '_')}.yml", folder)
    return load_rules(folder)


def patterns_of(rules: RuleSet) -> list[str]:
    return sorted({rules.matcher.atoms[n].pattern.pattern for rule in rules.rules for n in rule.speaking})


def ripgrep(patterns: Path, log: Path) -> float:
    """Its CPU seconds; infinitely many where it was given up."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        command = ["rg", "-c", "-i", "-a", "-j1", "-f", str(patterns), str(log)]
        subprocess.run(command, check=False, capture_output=True, timeout=RIPGREP_SECONDS)
    except subprocess.TimeoutExpired:
        return float("inf")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def python_re(patterns: list[str], log: Path) -> float:
    """Seconds for the whole log of trying each pattern on each line."""
    compiled = [re.compile(p.replace(r"\z", r"\Z"), re.IGNORECASE) for p in patterns if r"\x{" not in p]
    with log.open("rb") as file:
        data = file.read(RE_BYTES).decode("utf-8", "replace")
    begun = process_time()
    for line in data.split("\n"):
        any(one.search(line) for one in compiled)
    return (process_time() - begun) * log.stat().st_size / RE_BYTES


def scan(log: Path, what: str) -> None:
    """Child process: scan to a store of its own, print the figures as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        rules = load_rules() if what == "all" else pattern_rules(Path(tempfile.mkdtemp(dir=folder)))
        store = Store(f"sqlite:///{folder}/store.db")
        tokens = [TokenGrant(token_id=f"key-{number}") for number in range(12)]
        store.registers.put_policy("version: 1\nplaybooks: []", tokens)
        source = InteractionLog(path=log, prompts_are_the_users=True)
        with store.lease("scan", "benchmark") as lease:
            assert lease
            scanner = Scanner(store, source, rules, lease)
            cpu, wall = process_time(), monotonic()
            while not scanner.step().at_end:
                pass
            cpu, wall = process_time() - cpu, monotonic() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak, "lines": scanner.lines, "found": scanner.found}))


def equal_to_slow(log: Path, rules: RuleSet) -> bool:
    """Whether the fast scan finds what the slow one finds in the log's beginning."""
    with log.open("rb") as file:
        data = file.read(SLOW_BYTES)
    found = []
    for fast in (True, False):
        source = InteractionLog(path=log, prompts_are_the_users=True)
        lines = LineScan(rules, source.parser(), "log", Correlator(rules.over_records, (), "log"), fast=fast)
        for start in range(0, len(data), 1_000_000):
            begin = 0 if not start else data.find(b"\n", start - 1) + 1
            lines.scan(data[begin : data.find(b"\n", start + 1_000_000 - 1) + 1 or len(data)], begin, "log#1")
        found.append(lines.take())
    return found[0].findings == found[1].findings and found[0].malformed == found[1].malformed


def measure(log: Path, what: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.scan_speed", "--scan", str(log), what]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main(megabytes: int) -> None:
    if not shutil.which("rg"):
        sys.exit("this benchmark needs ripgrep: apt-get install -y ripgrep")
    folder = Path(tempfile.mkdtemp(prefix="scan-speed-", dir=ROOT / "build"))
    missed = []
    try:
        rules_folder = folder / "rules"
        rules_folder.mkdir()
        rules = pattern_rules(rules_folder)
        patterns = folder / "patterns.txt"
        patterns.write_text("\n".join(patterns_of(rules)) + "\n", encoding="utf-8")
        for kind in ("plain", "hostile"):
            log = folder / f"{kind}.jsonl"
            with Progress(transient=True) as bar:
                task = bar.add_task(f"making the {kind} log", total=megabytes * 1_000_000)
                make_log(log, megabytes * 1_000_000, kind == "hostile", lambda made: bar.update(task, completed=made))  # noqa: B023
            size = log.stat().st_size / 1e6
            rg = ripgrep(patterns, log)
            slow = python_re(patterns_of(rules), log)
            print(f"{kind} log, {size:.0f} MB; {len(patterns_of(rules))} patterns")
            for name, seconds in (("ripgrep", rg), ("re, line by line", slow)):
                print(f"  {name:<24}{seconds:>9.1f} s{size / seconds:>9.0f} MB/s")
            for what in ("patterns", "all"):
                took = measure(log, what)
                ratio, than_re = rg / took["cpu"], slow / took["cpu"]
                speed = f"{took['cpu']:>9.1f} s{size / took['cpu']:>9.0f} MB/s, wall {took['wall']:.1f} s"
                print(
                    f"  {f'scan, {what}':<24}{speed}; {ratio:.2f} x ripgrep (aim {AIMS[kind, what]}), "
                    f"{than_re:.1f} x re, {took['peak']:.0f} MB at most; "
                    f"{took['found']:.0f} findings in {took['lines']:.0f} lines"
                )
                if ratio < AIMS[kind, what] or (what == "patterns" and than_re < 20) or took["peak"] > 400:
                    missed.append(f"{kind}, {what}")
            if not equal_to_slow(log, load_rules()):
                missed.append(f"{kind}: findings differ from the slow scan's")
            half = folder / "half.jsonl"
            with log.open("rb") as whole, half.open("wb") as file:
                while file.tell() < log.stat().st_size // 2:
                    file.write(whole.read(1_000_000))
            print(
                f"  half the log: {measure(half, 'patterns')['cpu'] / measure(log, 'patterns')['cpu']:.2f} of the time"
            )
            os.unlink(log)
    finally:
        shutil.rmtree(folder)
    if missed:
        sys.exit(f"aims missed: {'; '.join(missed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--scan", nargs=2, metavar=("LOG", "RULES"))
    asked = parser.parse_args()
    if asked.scan:
        scan(Path(asked.scan[0]), asked.scan[1])
    else:
        main(asked.mb)
