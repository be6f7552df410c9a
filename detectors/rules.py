"""The rules: Sigma files, read once and held to the supported subset, then tried on records.

A broken file is refused with its name, the key and what is allowed; nothing is loaded then.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule
from sigma.rule.base import SigmaYAMLLoader, check_alias_expansion

from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import ActorType, Finding, Severity
from firebreak.detectors.frameworks import TAGS
from firebreak.detectors.inspection import Match, blame, evidence_of
from firebreak.detectors.matching import Condition, Matcher
from firebreak.detectors.records import Record
from firebreak.detectors.rule_file import MODELS, Case, RuleFile
from firebreak.detectors.sigma_subset import CONDITION, Unsupported, check_detection
from firebreak.detectors.views import FIELDS, View

SHIPPED = Path(__file__).parent / "rules"
_LARGEST_FILE = 100_000
_OTHER_SIGMA = {"correlation": "correlations", "filter": "filters", "action": "rule collections"}


class RuleError(ValueError):
    """A rule that can't be loaded: in which file, under which key, what is wrong, and what is allowed."""

    def __init__(self, file: str, key: str, problem: str, allowed: str) -> None:
        super().__init__(f"{file}: {key or 'file'}: {problem}. Allowed: {allowed}")
        self.file, self.key, self.problem, self.allowed = file, key, problem, allowed


@dataclass(frozen=True)
class Rule:
    """One loaded rule."""

    id: str
    uuid: str
    title: str
    kind: str
    severity: Severity
    actor: ActorType
    tags: tuple[str, ...]
    atlas: tuple[str, ...]
    owasp: tuple[str, ...]
    runbook: tuple[str, ...]
    falsepositives: tuple[str, ...]
    cases: tuple[Case, ...]
    condition: Condition
    speaking: tuple[int, ...]


class RuleSet:
    """Loaded rules; safe to share between threads."""

    def __init__(self, rules: tuple[Rule, ...], matcher: Matcher) -> None:
        self.rules = rules
        self.matcher = matcher

    def inspect(self, record: Record, facts: Facts) -> list[Finding]:
        """What the rules find in one record, in the order of the rules' ids."""
        view = View(record, facts)
        hits = self.matcher.hits(view)
        matched = [rule for rule in self.rules if rule.condition(hits)]
        if not matched:
            return []
        matches = [self._match(rule, view, hits) for rule in matched]
        return [_finding(rule, match, record) for rule, match in zip(matched, blame(matches, view), strict=True)]

    def _match(self, rule: Rule, view: View, hits: list[bool]) -> Match:
        atoms = [self.matcher.atoms[index] for index in rule.speaking if hits[index]]
        return evidence_of(atoms, rule.actor, view)


def load_rules(folder: Path | None = None, own: Path | None = None) -> RuleSet:
    """Every ``*.yml`` of a folder (None: the shipped rules), and a team's own beside them.

    Raises:
        RuleError: a file can't be read, is no Sigma rule, or uses what isn't supported.
    """
    folder = folder or SHIPPED
    files: list[Path] = []
    for each in (folder, own) if own else (folder,):
        found = sorted(each.glob("*.yml"))
        if not found:
            raise RuleError(str(each), "", "holds no rules, so nothing would be detected", "*.yml files")
        files += found
    matcher = Matcher()
    rules = tuple(_load(file, matcher) for file in files)
    seen: dict[str, str] = {}
    for rule, file in zip(rules, files, strict=True):
        if rule.uuid in seen:
            raise RuleError(str(file), "id", f"is also the id of {seen[rule.uuid]}", "a UUID of its own")
        if rule.id in seen.values():
            raise RuleError(str(file), "name", f"`{rule.id}` is another rule's name too", "a name of its own")
        seen[rule.uuid] = rule.id
    try:
        matcher.freeze()
    except MemoryError as error:
        raise RuleError(str(folder), "", str(error), "fewer or simpler patterns") from None
    return RuleSet(rules, matcher)


def _load(file: Path, matcher: Matcher) -> Rule:
    document = _read(file)
    for key, what in _OTHER_SIGMA.items():
        if key in document:
            raise RuleError(str(file), key, f"Sigma {what} are not supported yet", ", ".join(RuleFile.model_fields))
    try:
        content = RuleFile.model_validate(document)
        check_detection(content.detection)
    except ValidationError as error:
        raise _refusal(file, error) from None
    except Unsupported as error:
        raise RuleError(str(file), error.key, error.problem, error.allowed) from None
    _check_names(file, content)
    try:
        parsed = SigmaRule.from_dict({key: document[key] for key in document if key != "firebreak"})
        condition, speaking = matcher.add(parsed.detection.parsed_condition[0].parsed)
    except (SigmaError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise RuleError(str(file), "detection", f"pySigma refuses it: {reason}", CONDITION) from None
    return _rule(content, condition, tuple(speaking))


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode("utf-8")
        if len(text) > _LARGEST_FILE:
            raise RuleError(str(file), "", f"{len(text)} characters", f"at most {_LARGEST_FILE}")
        document = yaml.load(text, SigmaYAMLLoader)  # noqa: S506 - a subclass of the safe loader
        check_alias_expansion(document)
    except (
        OSError,
        UnicodeDecodeError,
        yaml.YAMLError,
        SigmaError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        if isinstance(error, RuleError):
            raise
        raise RuleError(str(file), "", f"can't be read: {error}", "one Sigma rule in YAML, UTF-8") from None
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise RuleError(str(file), "", "is not a map of keys", ", ".join(RuleFile.model_fields))
    return document


def _refusal(file: Path, error: ValidationError) -> RuleError:
    first = error.errors(include_url=False)[0]
    named = [str(step) for step in first["loc"]]
    above = [step for step in first["loc"][:-1] if isinstance(step, str)]
    allowed = str(first.get("ctx", {}).get("expected") or first.get("ctx", {}).get("pattern") or first["msg"])
    if first["type"] in ("extra_forbidden", "missing"):
        model = MODELS.get(above[-1] if above else "")
        allowed = ", ".join(model.model_fields) if model else first["msg"]
    return RuleError(str(file), ".".join(named), first["msg"], allowed)


def _check_names(file: Path, content: RuleFile) -> None:
    expected = file.stem.replace("_", "-")
    if content.name != expected:
        raise RuleError(str(file), "name", f"`{content.name}` is not the file's name", expected)
    for tag in content.tags:
        if tag not in TAGS:
            raise RuleError(str(file), "tags", f"no tag `{tag}`", ", ".join(TAGS))
    for prefix in ("atlas.", "owasp."):
        if not any(tag.startswith(prefix) for tag in content.tags):
            raise RuleError(str(file), "tags", f"has no tag of {prefix[:-1]}", f"one {prefix}… or more")
    for number, step in enumerate(content.firebreak.runbook):
        if step.field not in FIELDS:
            raise RuleError(
                str(file), f"firebreak.runbook.{number}.field", f"no field `{step.field}`", ", ".join(FIELDS)
            )


def _rule(content: RuleFile, condition: Condition, speaking: tuple[int, ...]) -> Rule:
    own = content.firebreak
    return Rule(
        id=content.name,
        uuid=str(content.id),
        title=content.title,
        kind=own.kind,
        severity=content.level,
        actor=ActorType(own.actor),
        tags=content.tags,
        atlas=tuple(TAGS[tag] for tag in content.tags if tag.startswith("atlas.")),
        owasp=tuple(TAGS[tag] for tag in content.tags if tag.startswith("owasp.")),
        runbook=tuple(str(step) for step in own.runbook),
        falsepositives=content.falsepositives,
        cases=own.cases,
        condition=condition,
        speaking=speaking,
    )


def _finding(rule: Rule, match: Match, record: Record) -> Finding:
    """The rule's claim. What anyone could have forged is never more than low."""
    actors = {ActorType.USER: record.user, ActorType.TOKEN: record.token_id}
    actor = actors.get(match.actor)
    return Finding(
        rule=rule.id,
        kind=rule.kind,
        title=rule.title,
        severity=rule.severity if record.trusted else Severity.LOW,
        workflow=record.workflow,
        actor_type=match.actor if actor else ActorType.WORKFLOW,
        actor=actor or record.workflow,
        record_id=record.id,
        flow_run_id=record.flow_run_id,
        token_id=record.token_id,
        time=record.time,
        origin=match.origin,
        trusted=record.trusted,
        attributed=bool(record.parts),
        evidence=match.evidence,
        atlas=rule.atlas,
        owasp=rule.owasp,
        runbook=rule.runbook,
    )
