"""One window that drifts is chance or a bad day: drift is confirmed when it stays."""

from collections import deque
from collections.abc import Mapping, Sequence

from firebreak.detectors.drift.spec import Persistence


def confirmed(history: Sequence[Mapping[str, bool]], rule: Persistence) -> dict[str, bool]:
    """For each column ever seen, whether its drift stands after the last window.

    ``history`` holds the windows oldest first, each from column to whether it drifted. Drift is confirmed when ``k``
    of the last ``of`` windows drifted, and stands until ``recover`` windows in a row are clear; then counting starts
    anew. A window without the column (no verdict) counts neither as drifted nor as clear.
    """
    columns = dict.fromkeys(column for window in history for column in window)
    return {column: _stands([w[column] for w in history if column in w], rule) for column in columns}


def _stands(windows: Sequence[bool], rule: Persistence) -> bool:
    stands = False
    recent: deque[bool] = deque(maxlen=rule.of)
    clear = 0
    for drifted in windows:
        recent.append(drifted)
        clear = 0 if drifted else clear + 1
        if stands and clear >= rule.recover:
            stands = False
            recent.clear()
        elif sum(recent) >= rule.k:
            stands = True
    return stands
