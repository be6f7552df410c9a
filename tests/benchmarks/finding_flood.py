"""10,000 findings about 200 actors in a minute, written by four processes: `python -m tests.benchmarks.finding_flood`.

Each finding is written in a transaction of its own, with its incident and quarantine, on SQLite and PostgreSQL.
Beside it, on a new store, the same without any pause: how many a second the store takes at most. Aim: none lost,
exactly 200 incidents, p95 of writing one under 20 ms.
"""

import argparse

from tests.flows.drills.databases import empty_stores
from tests.flows.drills.flood import flood

ACTORS, WRITERS, AIM_MS, MINUTE = 200, 4, 20.0, 60.0


def main() -> None:
    """Two lines for each database; SystemExit names each aim missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=int, default=10_000)
    total = parser.parse_args().findings
    missed: list[str] = []
    with empty_stores(2) as stores:
        for database, urls in stores.items():
            for what, url, within in zip(("in a minute", "at once"), urls, (MINUTE * total / 10_000, 0), strict=True):
                made = flood(url, total, ACTORS, WRITERS, within)
                figures = ", ".join(f"{name} {made.share(part):.1f}" for name, part in PARTS.items())
                print(
                    f"{database:11}{what:12}{made.stored} of {total} findings, {made.incidents} incidents, "
                    f"{total / made.seconds:.0f} a second; ms of a write: {figures}; repeated {made.again}",
                    flush=True,
                )
                if (made.stored, made.counted, made.incidents) != (total, total, ACTORS):
                    missed.append(f"{database}, {what}: {made.stored} stored, {made.counted} counted, {made.incidents}")
                if within and made.share(0.95) >= AIM_MS:
                    missed.append(f"{database}, {what}: p95 is {made.share(0.95):.1f} ms, not under {AIM_MS:g} ms")
    raise SystemExit(f"under the aim: {'; '.join(missed)}" if missed else 0)


PARTS = {"median": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}

if __name__ == "__main__":
    main()
