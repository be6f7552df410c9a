"""What a correlation claims once its count is reached, about the record or finding that completed it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from firebreak.detectors.evidence import EXCERPT
from firebreak.detectors.findings import ActorType, Evidence, Finding, Severity
from firebreak.detectors.records import Origin
from firebreak.detectors.rule import Correlation
from firebreak.detectors.sliding import Filled

MOST_NAMED = 20  # ids or values that a finding lists
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Subject:
    """What was counted last: as much of a record as a finding of it keeps."""

    id: str
    time: datetime
    workflow: str
    flow_run_id: str | None
    user: str | None
    token_id: str | None
    trusted: bool
    attributed: bool
    origin: Origin | None = None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "time": self.time.isoformat()}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Subject":
        origin = body["origin"] and Origin(body["origin"])
        return cls(**{**body, "time": datetime.fromisoformat(body["time"]), "origin": origin})


def of_record(record: Any) -> Subject:
    """Of a Record, or of anything with its light fields. What was said isn't looked at, so nobody is held for words."""
    return Subject(
        id=str(record.id),
        time=record.time,
        workflow=record.workflow,
        flow_run_id=record.flow_run_id,
        user=record.user,
        token_id=record.token_id,
        trusted=record.trusted,
        attributed=False,
    )


def of_finding(finding: Finding) -> Subject:
    """A user is counted only where the finding points at one: not for what a document brought in."""
    return Subject(
        id=finding.record_id,
        time=finding.time,
        workflow=finding.workflow,
        flow_run_id=finding.flow_run_id,
        user=finding.actor if finding.actor_type is ActorType.USER else None,
        token_id=finding.token_id,
        trusted=finding.trusted,
        attributed=finding.attributed,
        origin=finding.origin,
    )


def claim_of_count(correlation: Correlation, values: tuple[str, ...], filled: Filled, subject: Subject) -> Finding:
    """The finding: at the completing record's own time, so that the same records give the same finding again."""
    counting = correlation.counting
    group = dict(zip(counting.group_by, values, strict=True))
    actors = {ActorType.USER: subject.user, ActorType.TOKEN: subject.token_id}
    actor = actors.get(correlation.actor)
    shown = [Evidence(field=name, excerpt=value[:EXCERPT]) for name, value in group.items()]
    named = list(filled.counted[:MOST_NAMED])
    if counting.field is not None:
        shown.append(Evidence(field=counting.field, excerpt=", ".join(named)[:EXCERPT]))
    return Finding(
        rule=correlation.id,
        kind=correlation.kind,
        title=correlation.title,
        severity=correlation.severity if subject.trusted else Severity.LOW,
        workflow=subject.workflow,
        actor_type=correlation.actor if actor else ActorType.WORKFLOW,
        actor=actor or subject.workflow,
        record_id=subject.id,
        flow_run_id=subject.flow_run_id,
        token_id=subject.token_id,
        time=subject.time,
        votes=(correlation.vote,),
        origin=subject.origin,
        trusted=subject.trusted,
        attributed=subject.attributed,
        evidence=tuple(shown),
        atlas=correlation.atlas,
        owasp=correlation.owasp,
        runbook=correlation.runbook,
        detail={
            "counted": len(filled.counted),
            "within_seconds": counting.seconds,
            "first": _iso(filled.first),
            "last": _iso(filled.last),
            "group": group,
            "records" if counting.field is None else "values": named,
        },
    )


def _iso(time: int) -> str:
    return (_EPOCH + timedelta(microseconds=time)).isoformat()
