"""Run rules' inline cases: `python -m firebreak.detectors.cases FOLDER` before you deploy rules of your own."""

import sys
from pathlib import Path

from firebreak.detectors.correlation_file import CorrelationCase
from firebreak.detectors.correlations import Correlator
from firebreak.detectors.findings import Finding
from firebreak.detectors.rule_file import Case
from firebreak.detectors.rules import Correlation, Rule, RuleError, RuleSet, load_rules


def problem(rules: RuleSet, rule: Rule | Correlation, case: Case | CorrelationCase) -> str | None:
    """What is wrong with a case's outcome among these rules; None when it is as the rule says."""
    found, matched = raised(rules, rule, case)
    if matched is not case.match:
        return "doesn't match, but should" if case.match else "matches, but should not"
    for finding in found:
        if finding.severity is not case.severity:
            return f"is {finding.severity}, the case says {case.severity}"
        if isinstance(case, Case) and case.origin not in (None, finding.origin):
            return f"matched in the part from {finding.origin}, the case says {case.origin}"
    if isinstance(case, CorrelationCase) and case.match and len(found) != case.findings:
        return f"is found {len(found)} times, the case says {case.findings}"
    return None


def raised(rules: RuleSet, rule: Rule | Correlation, case: Case | CorrelationCase) -> tuple[list[Finding], bool]:
    """The findings that this rule raises over its case, and whether it matched at all (a rule may only count)."""
    if isinstance(case, CorrelationCase):
        found = _over_time(rules, case)
    elif case.window is not None:
        found = rules.inspect_window(*case.build_window())
    else:
        examined = rules.examine(*case.build())
        found = examined.findings
        if rule.id in examined.counted:
            return [finding for finding in found if finding.rule == rule.id], True
    own = [finding for finding in found if finding.rule == rule.id]
    return own, bool(own)


def _over_time(rules: RuleSet, case: CorrelationCase) -> list[Finding]:
    """What correlations find in a case's records, each read once, in the order of their times."""
    correlator = Correlator(rules.correlations)
    records, facts = case.build()
    found: list[Finding] = []
    for record in records:
        examined = rules.examine(record, facts)
        found += correlator.feed(record, examined.counted)
        for finding in examined.findings:
            found += correlator.feed_finding(finding)
    return found


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
    for rule in rules.everything:
        for case in rule.cases:
            if what := problem(rules, rule, case):
                wrong += 1
                print(f"{rule.id}: {case.name}: {what}")  # noqa: T201
    print(f"{len(rules.everything)} rules, {sum(len(r.cases) for r in rules.everything)} cases, {wrong} wrong")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
