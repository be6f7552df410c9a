"""Makes correlations for tests: one base rule on the status, and what is counted over it."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml

from firebreak.detectors.correlations import Correlator
from firebreak.detectors.facts import Facts
from firebreak.detectors.findings import Finding
from firebreak.detectors.records import Record
from firebreak.detectors.rules import RuleSet, load_rules

START = datetime(2026, 3, 1, tzinfo=UTC)
CASE = {"name": "none", "match": False, "records": [{"record": {}}]}


def rule(name: str, actor: str = "token", **keys: Any) -> dict[str, Any]:
    """A rule file's keys."""
    own = {"kind": "test", "actor": actor, "runbook": [{"field": "user", "action": "Look", "window": "1 hour after"}]}
    base = {
        "title": f"Rule {name}",
        "id": f"00000000-0000-4000-8000-{crc32(name.encode()):012}",
        "name": name,
        "description": "A rule of the tests.",
        "falsepositives": ["None."],
        "level": "high",
        "tags": ["atlas.aml.t0012", "owasp.llm10.2025"],
    }
    if "correlation" in keys:
        return {**base, **keys, "firebreak": {**own, "cases": [CASE]}}
    source = {"product": "firebreak", "service": "interaction-log"}
    case = {"name": "none", "match": False, "record": {}}
    return {**base, "logsource": source, **keys, "firebreak": {**own, "cases": [case]}}


def base_rule(name: str = "denied", **selection: Any) -> dict[str, Any]:
    return rule(name, detection={"selection": selection or {"status": 401}, "condition": "selection"})


def correlation(name: str = "many", actor: str = "token", **changed: Any) -> dict[str, Any]:
    """Three denied calls of one token within a minute, but for what is changed; None leaves a key out."""
    counted = {
        "type": "event_count",
        "rules": ["denied"],
        "group-by": ["token_id"],
        "timespan": "60s",
        "condition": {"gte": 3},
        **{key.replace("_", "-"): value for key, value in changed.items()},
    }
    return rule(name, actor=actor, correlation={key: value for key, value in counted.items() if value is not None})


def write(folder: Path, *rules: dict[str, Any]) -> None:
    for each in rules:
        path = folder / f"{each['name'].replace('-', '_')}.yml"
        path.write_text(yaml.safe_dump(each, allow_unicode=True), encoding="utf-8")


def rules_of(*rules: dict[str, Any]) -> RuleSet:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *rules)
        return load_rules(Path(folder))


def call(number: int | str, seconds: float, **fields: Any) -> Record:
    given = {"token_id": "key", "user": "ada", "status": 401, **fields}
    return Record(id=str(number), time=START + timedelta(seconds=seconds), workflow="answer-tickets", **given)


def run(rules: RuleSet, records: list[Record], correlator: Correlator | None = None) -> list[Finding]:
    """What correlations over records find."""
    correlator = correlator or Correlator(rules.over_records)
    return [found for record in records for found in correlator.feed(record, rules.examine(record, Facts()).counted)]
