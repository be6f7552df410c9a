"""From a match to a finding: what a rule claims about a record, or about a window of use."""

from datetime import timedelta

from firebreak.detectors.evidence import excerpt_of
from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import ActorType, Finding, Severity
from firebreak.detectors.inspection import MOST_EVIDENCE, Match
from firebreak.detectors.records import Record
from firebreak.detectors.rule import Rule
from firebreak.detectors.usage.window import UsageWindow


def claim(rule: Rule, match: Match, record: Record) -> Finding:
    """The rule's claim about a record. What anyone could have forged is never more than low."""
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
        votes=(rule.vote,),
        origin=match.origin,
        trusted=record.trusted,
        attributed=bool(record.parts),
        evidence=match.evidence,
        atlas=rule.atlas,
        owasp=rule.owasp,
        runbook=rule.runbook,
    )


def claim_of_window(rule: Rule, window: UsageWindow, fields: tuple[str, ...], facts: Facts) -> Finding:
    """The rule's claim about a window, at the window's end; ``fields`` are those that matched: its evidence."""
    shown = [(field, getattr(window, field)) for field in fields]
    texts = [(field, "" if value is None else str(value)) for field, value in shown[:MOST_EVIDENCE]]
    points = rule.actor is ActorType.TOKEN and window.subject == "token"
    return Finding(
        rule=rule.id,
        kind=rule.kind,
        title=rule.title,
        severity=rule.severity,
        workflow=window.workflow,
        actor_type=ActorType.TOKEN if points else ActorType.WORKFLOW,
        actor=window.name if points else window.workflow,
        record_id=window.id,
        token_id=window.name if window.subject == "token" else None,
        time=window.began_at + timedelta(seconds=window.seconds),
        votes=(rule.vote,),
        attributed=False,
        evidence=tuple(excerpt_of(field, text, 0, len(text), facts) for field, text in texts),
        atlas=rule.atlas,
        owasp=rule.owasp,
        runbook=rule.runbook,
        detail={"window_seconds": window.seconds, "began_at": window.began_at.isoformat(), **dict(shown)},
    )
