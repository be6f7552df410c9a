"""A guard model as detectors ask it: in bounded time and number, remembered, and without a vote where it fails."""

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor

from firebreak.blocks.guard_model import GuardModel, GuardModelError, Unreadable
from firebreak.blocks.store_memory import log
from firebreak.detectors.second_opinion import Ask

ASKS_A_MINUTE = 60  # a storm of suspicious prompts must not turn into a storm of model calls
PAUSE_SECONDS = 30.0  # an absent or slow model isn't asked for this long
REMEMBERED = 1_000  # the log scan sees the prompts that the guard has asked about, and attacks repeat

Say = Callable[[str], None]


def warn(what: str) -> None:
    log().warning("%s", what)


class SecondOpinion:
    """Call it with a text: True (an attack), False, or None (no vote). Safe to share between threads."""

    def __init__(self, model: GuardModel, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._model, self._say, self._clock = model, say, clock
        self._known: OrderedDict[bytes, bool] = OrderedDict()
        self._asked: deque[float] = deque(maxlen=ASKS_A_MINUTE)
        self._paused_until = float("-inf")
        self._failing = False
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="guard-model")  # a slow model is left behind in it

    def __call__(self, text: str) -> bool | None:
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
                return self._known[digest]
            if not self._may_ask():
                return None
        try:
            attack = self._worker.submit(self._model.is_attack, text).result(self._model.seconds)
        except (TimeoutError, GuardModelError) as error:
            late = f"guard model: no answer in {self._model.seconds:g} s"
            with self._lock:
                self._tell(str(error) if isinstance(error, GuardModelError) else late)
                if not isinstance(error, Unreadable):  # nobody's text may silence it for the others
                    self._paused_until = self._clock() + PAUSE_SECONDS
            return None
        with self._lock:
            self._failing = False
            self._known[digest] = attack
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return attack

    def _may_ask(self) -> bool:
        now = self._clock()
        if now < self._paused_until:
            return False
        if len(self._asked) == ASKS_A_MINUTE and now - self._asked[0] < 60:
            self._tell(f"guard model: asked {ASKS_A_MINUTE} times within a minute")
            return False
        self._asked.append(now)
        return True

    def _tell(self, why: str) -> None:
        """Once, until it answers again."""
        if not self._failing:
            self._failing = True
            self._say(f"{why}; findings go without its vote until it answers again")


_askers: dict[Hashable, SecondOpinion] = {}


def second_opinion(model: GuardModel | None) -> Ask | None:
    """This process's one asker of a model, however often its block is loaded; None without a model."""
    if model is None:
        return None
    at = model.endpoint
    address = None if at is None else (at.base_url, at.model, at.api_key.get_secret_value(), at.timeout)
    key = (address, model.classifier, model.attack_labels, model.threshold, model.seconds)
    return _askers.setdefault(key, SecondOpinion(model, warn))
