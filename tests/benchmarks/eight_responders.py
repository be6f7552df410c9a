"""Eight responders on one store, 1,000 actions on a counter: `python -m tests.benchmarks.eight_responders`.

Each is a process of its own that takes, under a lease, any incident nobody holds. The target counts whatever it is
asked, twice what it is asked twice. Beside them, on a new store of the same database, one responder by itself.
Aim, on SQLite and PostgreSQL: each action applied once.
"""

import argparse

from tests.flows.drills.crowd import crowd
from tests.flows.drills.databases import empty_stores
from tests.flows.drills.targets import serving

RESPONDERS = 8


def main() -> None:
    """A line for each database and number of responders; SystemExit names what was not applied once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=1000)
    actions = parser.parse_args().actions
    wrong: list[str] = []
    with empty_stores(2) as stores, serving("counter") as addresses:
        for database, urls in stores.items():
            rates = []
            for responders, url in zip((1, RESPONDERS), urls, strict=True):
                made = crowd(url, addresses, responders, actions)
                rates.append(made.actions / made.seconds)
                print(
                    f"{database:11}{responders} responder(s): {made.actions} actions, {len(made.wrong)} incident(s) "
                    f"wrong, {rates[-1]:.0f} actions a second, begun anew {made.again} times, shares {made.shares}",
                    flush=True,
                )
                wrong += made.wrong
            print(f"{database:11}{RESPONDERS} are {rates[1] / rates[0]:.2f} times as fast as one")
    for each in wrong:
        print(each)
    raise SystemExit(f"under the aim: {len(wrong)} incident(s) wrong" if wrong else 0)


if __name__ == "__main__":
    main()
