"""What the search for leaks costs: on an ordinary answer of 1 kB, and on 1 MB made to be slow.

Beside it, in the same run: detect-secrets' own plugins, one after another, on the same ordinary answer.

    python -m tests.benchmarks.leak_fields
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import DERIVED
from firebreak.detectors.leaks.credentials import PLUGINS, _loaded
from firebreak.detectors.leaks.fingerprints import fingerprint
from firebreak.detectors.leaks.masking import masked
from firebreak.detectors.records import Record
from firebreak.detectors.views import View
from tests.detectors.leaks.test_credentials import FLOODS
from tests.detectors.leaks.test_fingerprints import PROMPT

ANSWER = (
    "Thank you for your letter. Open the page with your invoices, choose the one you need, and download it as a PDF. "
    "If nothing happens, allow pop-up windows for our site in the settings of your browser, then try it again. "
) * 5
NAMES = ("credential_in_response", "personal_data_in_response", "system_prompt_overlap")


def microseconds(work: Callable[[], object], rounds: int = 3000) -> float:
    """The median of single calls."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - began)
    return median(times) / 1000


def main() -> int:
    known = fingerprint(PROMPT)
    assert known is not None
    record = Record(time=datetime.now(UTC), workflow="w", prompt="Where is my invoice?", response=ANSWER[:1000])
    view = View(record, Facts(system_prompts={"w": known}))
    total = 0.0
    for name in NAMES:
        total += (cost := microseconds(lambda name=name: DERIVED[name].value(view)))  # type: ignore[misc]
        print(f"{name:26} {cost:8.1f} us on an ordinary answer of 1 kB")
    plugins = [_loaded(plugin) for plugin in PLUGINS]
    alone = microseconds(lambda: [list(plugin.analyze_string(ANSWER[:1000])) for plugin in plugins], 300)
    print(f"{'together':26} {total:8.1f} us; detect-secrets' plugins alone {alone:.1f} us: x{alone / total:.1f}")
    worst = (0.0, "")
    for name, flood in FLOODS.items():
        text = ("é BEGIN PRIVATE KEY-----\n" + flood * (1_000_000 // len(flood)))[:1_000_000]
        began = time.process_time()
        masked(text)
        worst = max(worst, (time.process_time() - began, name))
    print(f"worst megabyte             {worst[0]:8.2f} s ({worst[1]}), of {len(FLOODS)} kinds")
    return 0 if total < 30 and worst[0] < 1 else 1


if __name__ == "__main__":
    sys.exit(main())
