"""A person's verdict teaches: the texts that an incident's page showed become labelled data.

Only a finding of prompt injection in a trusted record's prompt says something about a text, and only what the page
showed was judged: whatever else an attacker had put into the same incident teaches nothing.
"""

from collections.abc import Iterator, Set
from datetime import datetime

from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.store import Accused, Incident, State, Store
from firebreak.detectors.evidence import mask
from firebreak.detectors.findings import Finding
from firebreak.detectors.leaks.masking import masked
from firebreak.detectors.parsing import MalformedLine
from firebreak.detectors.records import Origin, Record
from firebreak.detectors.views import View
from firebreak.flows.incident_page import SHOWN
from firebreak.flows.rereading import chunks, record_in

INJECTION = "prompt-injection"  # the kind of incident that says something about a text


def learn(store: Store, log: InteractionLog, incident: Incident, verdict: State, by: str) -> int:
    """Label the accused texts as the verdict says; how many are new.

    Errors: LogUnreadable, IncidentMoved (the incident isn't closed with this verdict).
    """
    shown = (sighting.finding for sighting in store.incidents.sightings(incident.id, limit=SHOWN))
    judged = [finding for finding in shown if finding.kind == INJECTION and finding.trusted and finding.origin]
    return store.labels.add(incident.id, verdict, accused_texts(store, log, judged), by)


def accused_texts(store: Store, log: InteractionLog, findings: list[Finding]) -> list[Accused]:
    """What each finding accuses, where the log still holds its record: the text of one origin, secrets masked.

    An id alone doesn't make a record: its workflow and time are the finding's too.
    """
    missing: dict[tuple[str, str, datetime], list[Origin]] = {}
    for finding in findings:
        if finding.origin:
            missing.setdefault((finding.record_id, finding.workflow, finding.time), []).append(finding.origin)
    facts, found = store.facts(), list[Accused]()
    secrets = {canary for issued in facts.canaries.values() for canary in issued if canary}
    for named in (True, False):  # first records whose id stands in the line, which is quick
        if found or not missing:
            break  # in this log, ids stand in the lines: what wasn't found is gone
        for record in _records(store, log, {record_id for record_id, *_ in missing} if named else None):
            for origin in dict.fromkeys(missing.pop((record.id, record.workflow, record.time), [])):
                if text := View(record, facts).prompt_of(origin):
                    found.append(_accused(record, origin, masked(mask(text, secrets))))
            if not missing:
                break
    return found


def _accused(record: Record, origin: Origin, text: str) -> Accused:
    return Accused(text=text, workflow=record.workflow, user=record.user, record_id=record.id, origin=origin)


def _records(store: Store, log: InteractionLog, ids: Set[str] | None) -> Iterator[Record]:
    """The log's records; of ``ids``, only those of lines in which one of them stands."""
    parser = log.parser()
    marks = None if ids is None else [record_id.encode() for record_id in ids]
    for chunk in chunks(store, log):
        for line in chunk.lines:
            if marks is not None and not any(mark in line.data for mark in marks):
                continue
            try:
                record = record_in(line, log, parser)
            except MalformedLine:
                continue
            if record is not None:
                yield record
