"""Run rules' inline cases: `python -m firebreak.detectors.cases FOLDER` before you deploy rules of your own."""

import sys
from pathlib import Path

from firebreak.detectors.rule_file import Case
from firebreak.detectors.rules import Rule, RuleError, RuleSet, load_rules


def problem(rules: RuleSet, rule: Rule, case: Case) -> str | None:
    """What is wrong with a case's outcome among these rules; None when it is as the rule says."""
    record, facts = case.build()
    found = [finding for finding in rules.inspect(record, facts) if finding.rule == rule.id]
    if bool(found) is not case.match:
        return "doesn't match, but should" if case.match else "matches, but should not"
    for finding in found:
        if finding.severity is not case.severity:
            return f"is {finding.severity}, the case says {case.severity}"
        if case.origin not in (None, finding.origin):
            return f"matched in the part from {finding.origin}, the case says {case.origin}"
    return None


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print("usage: python -m firebreak.detectors.cases [FOLDER]", file=sys.stderr)  # noqa: T201 - a command
        return 2
    try:
        rules = load_rules(own=Path(arguments[0]) if arguments else None)
    except RuleError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    wrong = 0
    for rule in rules.rules:
        for case in rule.cases:
            if what := problem(rules, rule, case):
                wrong += 1
                print(f"{rule.id}: {case.name}: {what}")  # noqa: T201
    print(f"{len(rules.rules)} rules, {sum(len(r.cases) for r in rules.rules)} cases, {wrong} wrong")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
