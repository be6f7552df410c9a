"""Which atoms belong to which rule, and which count against it: those under an odd number of NOTs."""

from typing import Any

from sigma.conditions import ConditionFieldEqualsValueExpression, ConditionNOT

from firebreak.detectors.rule import Rule
from firebreak.detectors.rules import RuleSet


def leaves(rules: RuleSet) -> dict[str, dict[int, bool]]:
    """By rule about records: the indexes of its atoms, each with whether it is negated.

    The matcher numbers the leaves of one rule after the other, from left to right.
    """
    found: dict[str, dict[int, bool]] = {}
    at = 0
    for rule in about_records(rules):
        nots = _nots(rule.tree, 0)
        if {at + number for number, above in enumerate(nots) if not above} != set(rule.speaking):
            raise AssertionError(f"rule {rule.id}: its atoms are not numbered from left to right")
        found[rule.id] = {at + number: above % 2 == 1 for number, above in enumerate(nots)}
        at += len(nots)
    return found


def about_records(rules: RuleSet) -> list[Rule]:
    return [rule for rule in rules.rules if rule.service == "interaction-log"]


def _nots(node: Any, above: int) -> list[int]:
    """For each leaf, from left to right, how many NOTs stand above it."""
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return [above]
    return [leaf for arg in node.args for leaf in _nots(arg, above + isinstance(node, ConditionNOT))]
