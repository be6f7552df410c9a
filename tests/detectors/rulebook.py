"""Makes a rule set out of one detection, for tests of the matcher."""

import tempfile
from pathlib import Path
from typing import Any

import yaml

from firebreak.detectors.rules import RuleSet, load_rules


def rules_for(*detections: dict[str, Any], actor: str = "user", level: str = "high") -> RuleSet:
    """One rule a detection, named rule-0, rule-1 …; a detection without a condition looks for all its parts."""
    with tempfile.TemporaryDirectory() as folder:
        for number, detection in enumerate(detections):
            rule = {
                "title": f"Rule {number}",
                "id": f"00000000-0000-4000-8000-{number:012}",
                "name": f"rule-{number}",
                "description": "A rule of the tests.",
                "logsource": {"product": "firebreak", "service": "interaction-log"},
                "detection": {"condition": "all of them", **detection},
                "falsepositives": ["None."],
                "level": level,
                "tags": ["atlas.aml.t0051", "owasp.llm01.2025"],
                "firebreak": {
                    "kind": "test",
                    "actor": actor,
                    "runbook": [{"field": "user", "action": "Look", "window": "1 hour after"}],
                    "cases": [{"name": "nothing", "match": False, "record": {}}],
                },
            }
            path = Path(folder, f"rule_{number}.yml")
            path.write_text(yaml.safe_dump(rule, allow_unicode=True), encoding="utf-8")
        return load_rules(Path(folder))
