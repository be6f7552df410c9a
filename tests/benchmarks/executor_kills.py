"""The executor killed (SIGKILL) in the middle of its work: `python -m tests.benchmarks.executor_kills`.

Five actions on targets in processes of their own, four of which do again whatever they are asked again (a counter, a
mailbox, tickets, the undoing of the counter); a plan that is taken back because its last step is refused; a plan with a
step that no probe can tell. Killed at every step boundary, at random moments, and again and again; after each kill
another process finishes, and ledger and incident are held against the targets' own counts. Aim: no effect twice,
none missing, nothing said that isn't so. Wherever a store of PostgreSQL can be had, on that one too.
"""

import argparse
import time

from tests.flows.drills.databases import empty_stores
from tests.flows.drills.drive import DRILLS, FIVE
from tests.flows.drills.kills import Kills, Range
from tests.flows.drills.targets import serving


def main() -> None:
    """A line for each kind of kill; SystemExit names what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=100, help="random kills on each database")
    parser.add_argument("--seed", type=int, default=5)
    told = parser.parse_args()
    wrong: list[str] = []
    with empty_stores() as stores, serving(*FIVE, "refusing", "pager") as addresses:
        for database, (url,) in stores.items():
            made = Range(url, addresses)

            def line(what: str, kills: Kills, began: float, database: str = database) -> None:
                spent = time.monotonic() - began
                print(
                    f"{database:11}{what:62}{kills.killed:5} kills{len(kills.wrong):4} wrong{spent:7.0f} s", flush=True
                )
                wrong.extend(kills.wrong)

            for number, (name, drill) in enumerate(DRILLS.items()):
                began = time.monotonic()
                line(f"{name}: at every boundary", made.at_every_boundary(drill), began)
                share = told.moments // len(DRILLS) + (number < told.moments % len(DRILLS))
                began = time.monotonic()
                line(f"{name}: at random moments", made.at_random_moments(drill, share, told.seed), began)
                began = time.monotonic()
                line(f"{name}: again and again", made.again_and_again(drill), began)
    for each in wrong:
        print(each)
    raise SystemExit(f"under the aim: {len(wrong)} wrong" if wrong else 0)


if __name__ == "__main__":
    main()
