"""Rules prove themselves where they are loaded: each on an example it must find and on a near miss it must not.

A rule that has gone blind (a pattern engine that changed, a field that no longer computes) says so at start-up,
and not by finding nothing.
"""

from pathlib import Path

from firebreak.detectors.cases import problem
from firebreak.detectors.correlation_file import CorrelationCase
from firebreak.detectors.rule_file import Case
from firebreak.detectors.rules import Correlation, Rule, RuleError, RuleSet, load_rules


def load_proven(folder: Path | None = None, own: Path | None = None) -> RuleSet:
    """``load_rules``, proven. Errors: RuleError, also for a rule that doesn't do what its own cases say."""
    rules = load_rules(folder, own)
    prove(rules)
    return rules


def prove(rules: RuleSet) -> None:
    """Run one matching case and one near miss of each rule, the shortest. Errors: RuleError, naming rule and case."""
    for rule in rules.everything:
        _prove(rules, rule)


def _prove(rules: RuleSet, rule: Rule | Correlation) -> None:
    for match in (True, False):
        case = min((case for case in rule.cases if case.match is match), key=_length, default=None)
        if case is None:
            continue  # a team's own rule may have one side only; the shipped ones have both
        try:
            wrong = problem(rules, rule, case)
        except Exception as error:  # noqa: BLE001 - whatever a detector stumbles over, it detects nothing
            wrong = f"fails with {type(error).__name__}: {error}"
        if wrong:
            raise RuleError(
                f"rule {rule.id}",
                f"case {case.name!r}",
                f"{wrong}: the rule doesn't work here, so nothing is inspected with it",
                "what the case says; `python -m firebreak.detectors.cases` runs all of them",
            )


def _length(case: Case | CorrelationCase) -> int:
    """Records in it; of equally long ones the first is taken."""
    return sum(one.times for one in case.records) if isinstance(case, CorrelationCase) else 1
