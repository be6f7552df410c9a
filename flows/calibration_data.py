"""What `calibrate` looks at: harmless prompts out of the log and out of verdicts, and known attacks, each scored.

Harmless is a trusted record that no incident accuses, unless a person called that incident a false positive.
"""

import hashlib
import heapq
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.log_files import opened
from firebreak.blocks.store import Excluded, Store
from firebreak.blocks.store.labels import ATTACK, HARMLESS
from firebreak.detectors.calibration import Scored
from firebreak.detectors.facts import Facts
from firebreak.detectors.leaks.masking import masked
from firebreak.detectors.parsing import MalformedLine
from firebreak.detectors.records import Origin, Record
from firebreak.detectors.rules import RuleSet, load_rules
from firebreak.detectors.views import View
from firebreak.flows.labelling import INJECTION
from firebreak.flows.rereading import chunks, record_in

SAMPLE = 20_000  # distinct prompts of a sender that are scored and kept
EXCERPT = 400  # characters of a prompt that are kept

Score = Callable[[str], float]


@dataclass
class Collected:
    """Prompts known to be harmless, the scores of known attacks, and how many records were left out for what."""

    prompts: list[Scored]
    verdicts: list[float]  # attacks by a person's verdict
    examples: list[float]  # attacks that stand as examples beside the shipped rules: no traffic can change them
    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class Sample:
    """A random sample of distinct prompts of a sender, in constant memory: those whose keyed digest is smallest.

    The key is new each time, so nobody can choose prompts that are sure to be in it.
    """

    def __init__(self, most: int = SAMPLE) -> None:
        self._most, self._key = most, secrets.token_bytes(16)
        self._kept: dict[int, Scored] = {}
        self._largest: list[int] = []  # a heap of the kept digests, negated

    def place(self, sender: str, text: str) -> int | None:
        """The prompt's place in the sample; None when it is there already, or too many others come before it."""
        body = f"{len(sender)}:{sender}{text}".encode("utf-8", "surrogatepass")
        mark = int.from_bytes(hashlib.blake2b(body, key=self._key, digest_size=8).digest(), "big")
        full = len(self._kept) == self._most and mark > -self._largest[0]
        return None if full or mark in self._kept else mark

    def keep(self, place: int, prompt: Scored) -> None:
        self._kept[place] = prompt
        heapq.heappush(self._largest, -place)
        if len(self._kept) > self._most:
            del self._kept[-heapq.heappop(self._largest)]

    @property
    def prompts(self) -> list[Scored]:
        return list(self._kept.values())


def collect(
    store: Store, log: InteractionLog, days: int, score: Score, tell: Callable[[float], None], sample: int = SAMPLE
) -> Collected:
    """Read the whole log once, and the labels. ``tell`` hears the percentage done. Errors: LogUnreadable."""
    since, found, chosen = store.now - timedelta(days=days), Collected([], [], []), Sample(sample)
    labels = store.labels.all()
    judged, met = {label.record_id for label in labels}, set[str]()
    excluded: dict[str, Excluded] = {}
    for record in _records(store, log, tell, found.left_out):
        found.read += 1
        if record.workflow not in excluded:
            excluded[record.workflow] = store.excluded(record.workflow)
        if why := _unfit(record, since, excluded[record.workflow]):
            found.left_out[why] += 1
            continue
        met |= {record.id} & judged
        sender = sender_of(record)
        if (place := chosen.place(sender, record.prompt)) is not None:
            told = record.workflow, record.time, _excerpt(record.prompt)
            chosen.keep(place, Scored(score_of(record, score), sender, *told))
    for label in labels:  # those whose record is in the log were counted there
        if label.label == HARMLESS and label.record_id not in met:
            sender = f"user {label.user}" if label.user else f"workflow {label.workflow}"
            if (place := chosen.place(sender, label.text)) is not None:
                chosen.keep(place, Scored(score(label.text), sender, label.workflow, since, _excerpt(label.text)))
    found.prompts = chosen.prompts
    found.verdicts = [score(label.text) for label in labels if label.label == ATTACK]
    found.examples = example_scores(load_rules(), score)
    return found


def example_scores(rules: RuleSet, score: Score) -> list[float]:
    """The scores of the examples of an attack that stand beside these rules."""
    examples = [case for rule in rules.rules if rule.kind == INJECTION for case in rule.cases if case.match]
    return [score_of(case.build()[0], score) for case in examples]


def score_of(record: Record, score: Score) -> float:
    """The highest score among those who wrote the prompt, as the rule sees it."""
    view = View(record, Facts())
    texts = (view.prompt_of(origin) for origin in (Origin.USER, Origin.DOCUMENT, Origin.TOOL))
    return max((score(text) for text in texts if text), default=0.0)


def sender_of(record: Record) -> str:
    """Who is behind the record, as well as it says."""
    if record.user:
        return f"user {record.user}"
    return f"token {record.token_id}" if record.token_id else f"workflow {record.workflow}"


def _unfit(record: Record, since: datetime, excluded: Excluded) -> str:
    """Why the record may not be taken as harmless; empty when it may."""
    if record.time < since:
        return "older"
    if not record.trusted:
        return "of a log whose lines anyone can forge"
    if record.id in excluded.record_ids:
        return "accused by an incident"
    if record.user in excluded.users or record.token_id in excluded.tokens:
        return "of a user or token that was held"
    return "" if record.prompt.strip() else "without a prompt"


def _records(
    store: Store, log: InteractionLog, tell: Callable[[float], None], left_out: Counter[str]
) -> Iterator[Record]:
    with opened(log.path) as files:
        size = sum(file.size for file in files) or 1
    parser, done = log.parser(), 0
    for chunk in chunks(store, log):
        left_out["unreadable"] += len(chunk.set_aside)
        for line in chunk.lines:
            done += len(line.data) + 1
            try:
                record = record_in(line, log, parser)
            except MalformedLine:
                left_out["unreadable"] += 1
                continue
            if record is not None:
                yield record
        tell(min(100.0, 100.0 * done / size))


def _excerpt(text: str) -> str:
    """What a page may show: cut after the secrets in it are masked, so that none is too short to be known for one."""
    return masked(text[: EXCERPT + 10_000])[:EXCERPT]
