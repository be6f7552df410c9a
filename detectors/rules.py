"""The rules: Sigma files, read once and held to the supported subset, then tried on records.

A broken file is refused with its name, the key and what is allowed; nothing is loaded then.

One record goes through ``RuleSet.examine``: its findings, and the names of the matched rules that correlations over
records count (for a ``Correlator``). ``inspect`` gives the findings alone. One window of use (the counts of a token
or a workflow beside its own baseline) goes through ``inspect_window``: rules of ``logsource.service: usage`` name the
fields of ``usage/window.py`` and carry cases with a ``window`` instead of a ``record``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from firebreak.detectors.claims import claim, claim_of_window
from firebreak.detectors.correlation_file import CORRELATION_MODELS, CorrelationFile
from firebreak.detectors.correlation_subset import read_counting
from firebreak.detectors.facts import Facts
from firebreak.detectors.fields import FIELDS, FIELDS_OF, Value
from firebreak.detectors.findings import Finding
from firebreak.detectors.inspection import Match, blame, evidence_of
from firebreak.detectors.matching import Atom, Matcher
from firebreak.detectors.records import Record
from firebreak.detectors.rule import Correlation, Rule, make_correlation, make_rule
from firebreak.detectors.rule_file import MODELS, RuleFile
from firebreak.detectors.rule_reading import RuleError, check_names, read_document, read_keys
from firebreak.detectors.sigma_subset import CONDITION, Unsupported, check_detection, check_used
from firebreak.detectors.usage.window import UsageWindow
from firebreak.detectors.views import View

__all__ = ["SHIPPED", "Correlation", "Examined", "Rule", "RuleError", "RuleSet", "load_rules"]

SHIPPED = Path(__file__).parent / "rules"


@dataclass(frozen=True)
class Examined:
    """What the rules say about one record."""

    findings: list[Finding]
    counted: tuple[str, ...]  # the matched rules that correlations over records count


class RuleSet:
    """Loaded rules; safe to share between threads. ``matchers`` has one matcher for each service."""

    def __init__(
        self, rules: tuple[Rule, ...], correlations: tuple[Correlation, ...], matchers: dict[str, Matcher]
    ) -> None:
        self.rules = rules
        self.matchers = matchers
        self.matcher = matchers["interaction-log"]
        self.over_records = tuple(c for c in correlations if not c.counting.generate)
        self.over_findings = tuple(c for c in correlations if c.counting.generate)
        self.correlations = correlations
        self._of_records = tuple(rule for rule in rules if rule.service == "interaction-log")
        self._of_windows = tuple(rule for rule in rules if rule.service == "usage")

    @property
    def everything(self) -> list[Rule | Correlation]:
        """Rules and correlations, by id."""
        return sorted((*self.rules, *self.correlations), key=lambda rule: rule.id)

    def examine(self, record: Record, facts: Facts) -> Examined:
        """What the rules find in one record, in the order of the rules' files."""
        view = View(record, facts)
        hits = self.matcher.hits(view)
        matched = [rule for rule in self._of_records if rule.condition(hits)]
        counted = tuple(rule.id for rule in matched if rule.counted)
        raising = [rule for rule in matched if rule.raises]
        if not raising:
            return Examined([], counted)
        matches = [self._match(rule, view, hits) for rule in raising]
        found = [claim(rule, match, record) for rule, match in zip(raising, blame(matches, view), strict=True)]
        return Examined(found, counted)

    def inspect(self, record: Record, facts: Facts) -> list[Finding]:
        """What the rules find in one record, without what only counts."""
        return self.examine(record, facts).findings

    def inspect_window(self, window: UsageWindow, facts: Facts) -> list[Finding]:
        """What the rules of service ``usage`` find in one window of use."""
        if not self._of_windows:
            return []
        matcher = self.matchers["usage"]
        hits = [_holds(atom, getattr(window, atom.field)) for atom in matcher.atoms]
        found = []
        for rule in self._of_windows:
            if rule.condition(hits):
                fields = [matcher.atoms[index].field for index in rule.speaking if hits[index]]
                found.append(claim_of_window(rule, window, tuple(dict.fromkeys(fields)), facts))
        return found

    def _match(self, rule: Rule, view: View, hits: list[bool]) -> Match:
        atoms = [self.matcher.atoms[index] for index in rule.speaking if hits[index]]
        return evidence_of(atoms, rule.actor, view)


def _holds(atom: Atom, value: Value) -> bool:
    if atom.test is not None:
        return atom.test(value)
    return isinstance(value, str) and atom.pattern.search(value) is not None


def load_rules(folder: Path | None = None, own: Path | None = None) -> RuleSet:
    """Every ``*.yml`` of a folder (None: the shipped rules), and a team's own beside them.

    Raises:
        RuleError: a file can't be read, is no Sigma rule, or uses what isn't supported.
    """
    folder = folder or SHIPPED
    loaded: dict[Path, Rule | Correlation] = {}
    matchers = {service: Matcher() for service in FIELDS_OF}
    for each in (folder, own) if own else (folder,):
        files = sorted(each.glob("*.yml"))
        if not files:
            raise RuleError(str(each), "", "holds no rules, so nothing would be detected", "*.yml files")
        loaded |= {file: _load(file, matchers) for file in files}
    _check_unique(loaded)
    rules = {rule.id: (file, rule) for file, rule in loaded.items() if isinstance(rule, Rule)}
    correlations = {file: rule for file, rule in loaded.items() if isinstance(rule, Correlation)}
    for file, correlation in correlations.items():
        _check_counted(file, correlation, rules)
    try:
        for matcher in matchers.values():
            matcher.freeze()
    except MemoryError as error:
        raise RuleError(str(folder), "", str(error), "fewer or simpler patterns") from None
    found = tuple(_feeding(rule, correlations.values()) for _, rule in rules.values())
    return RuleSet(found, tuple(correlations.values()), matchers)


def _load(file: Path, matchers: dict[str, Matcher]) -> Rule | Correlation:
    document = read_document(file)
    try:
        if "correlation" in document:
            for key in ("logsource", "detection"):
                if key in document:
                    problem = "a correlation has none: it counts the matches of the rules it names"
                    raise Unsupported(key, problem, ", ".join(CorrelationFile.model_fields))
            counts = read_keys(file, document, CorrelationFile, CORRELATION_MODELS)
            check_names(file, counts, FIELDS)
            return make_correlation(counts, read_counting(counts.correlation, counts.firebreak.actor))
        content = read_keys(file, document, RuleFile, MODELS)
        fields = FIELDS_OF[content.logsource.service]
        check_detection(content.detection, fields)
    except Unsupported as error:
        raise RuleError(str(file), error.key, error.problem, error.allowed) from None
    check_names(file, content, fields)
    try:
        parsed: Any = SigmaRule.from_dict({key: document[key] for key in document if key != "firebreak"})
        tree = parsed.detection.parsed_condition[0].parsed
        check_used(content.detection)
        condition, speaking = matchers[content.logsource.service].add(tree)
    except (SigmaError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise RuleError(str(file), "detection", f"pySigma refuses it: {reason}", CONDITION) from None
    except Unsupported as error:
        raise RuleError(str(file), error.key, error.problem, error.allowed) from None
    return make_rule(content, condition, tuple(speaking), tree)


def _check_unique(loaded: dict[Path, Rule | Correlation]) -> None:
    seen: dict[str, str] = {}
    for file, rule in loaded.items():
        if rule.uuid in seen:
            raise RuleError(str(file), "id", f"is also the id of {seen[rule.uuid]}", "a UUID of its own")
        if rule.id in seen.values():
            raise RuleError(str(file), "name", f"`{rule.id}` is another rule's name too", "a name of its own")
        seen[rule.uuid] = rule.id


def _check_counted(file: Path, correlation: Correlation, rules: dict[str, tuple[Path, Rule]]) -> None:
    """That what it counts are rules about records, none of which it silences in another folder."""
    about_records = [name for name, (_, rule) in rules.items() if rule.service == "interaction-log"]
    for name in correlation.counting.rules:
        if name not in about_records:
            problem = f"`{name}` is not the name of a rule about records"
            raise RuleError(str(file), "correlation.rules", problem, ", ".join(about_records))
        if not correlation.counting.generate and rules[name][0].parent != file.parent:
            problem = f"`{name}` is a shipped rule: counted without `generate: true`, it would raise nothing any more"
            raise RuleError(
                str(file), "correlation.generate", problem, "generate: true, or a rule of your own to count"
            )


def _feeding(rule: Rule, correlations: Iterable[Correlation]) -> Rule:
    """The rule as the correlations over it leave it: counted alone, it raises nothing."""
    over = [c.counting for c in correlations if rule.id in c.counting.rules]
    raises = not over or any(counting.generate for counting in over)
    return replace(rule, raises=raises, counted=any(not counting.generate for counting in over))
