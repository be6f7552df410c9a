"""A loaded rule, and a loaded correlation over rules."""

from dataclasses import dataclass
from typing import Any

from firebreak.detectors.correlation_file import CorrelationCase, CorrelationFile
from firebreak.detectors.correlation_subset import Counting
from firebreak.detectors.findings import ActorType, Severity
from firebreak.detectors.frameworks import TAGS
from firebreak.detectors.matching import Condition
from firebreak.detectors.rule_file import AnyFile, Case, RuleFile


@dataclass(frozen=True)
class Described:
    """What every rule says of itself."""

    id: str
    uuid: str
    title: str
    kind: str
    severity: Severity
    actor: ActorType
    vote: str
    tags: tuple[str, ...]
    atlas: tuple[str, ...]
    owasp: tuple[str, ...]
    runbook: tuple[str, ...]
    references: tuple[str, ...]
    falsepositives: tuple[str, ...]


@dataclass(frozen=True)
class Rule(Described):
    """A rule about one record, or about one window of use (``service``)."""

    service: str
    cases: tuple[Case, ...]
    condition: Condition
    speaking: tuple[int, ...]
    tree: Any
    """pySigma's tree of conditions, for exporters."""
    raises: bool = True
    """False where it only feeds correlations, so that its matches are no findings."""
    counted: bool = False
    """Whether a correlation over records counts its matches."""


@dataclass(frozen=True)
class Correlation(Described):
    """A count over other rules' matches; it is evaluated by ``correlations.py``."""

    cases: tuple[CorrelationCase, ...]
    counting: Counting


def described(content: AnyFile) -> dict[str, Any]:
    """What a file says of its rule, as arguments."""
    own = content.firebreak
    return {
        "id": content.name,
        "uuid": str(content.id),
        "title": content.title,
        "kind": own.kind,
        "severity": content.level,
        "actor": ActorType(own.actor),
        "vote": own.vote,
        "tags": content.tags,
        "atlas": tuple(TAGS[tag] for tag in content.tags if tag.startswith("atlas.")),
        "owasp": tuple(TAGS[tag] for tag in content.tags if tag.startswith("owasp.")),
        "runbook": tuple(str(step) for step in own.runbook),
        "references": content.references,
        "falsepositives": content.falsepositives,
    }


def make_rule(content: RuleFile, condition: Condition, speaking: tuple[int, ...], tree: Any) -> Rule:
    return Rule(
        **described(content),
        service=content.logsource.service,
        cases=content.firebreak.cases,
        condition=condition,
        speaking=speaking,
        tree=tree,
    )


def make_correlation(content: CorrelationFile, counting: Counting) -> Correlation:
    return Correlation(**described(content), cases=content.firebreak.cases, counting=counting)
