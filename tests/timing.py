"""Processor time of something, for tests of what must stay linear."""

import time
from collections.abc import Callable


def best_of_three(what: Callable[[], object]) -> float:
    """Seconds; the least of three tries, since the suite's other worker shares the machine's caches."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        what()
        taken.append(time.process_time() - began)
    return min(taken)
