"""Export the rules to a Loki ruler file: `python -m firebreak.detectors.loki_rules [FOLDER] > rules.yml`.

FOLDER holds a team's own rules, beside the shipped ones. Each rule becomes an alert over the interaction log's JSON
lines in Loki: what Firebreak's detection can be carried elsewhere. What LogQL can't say is said in a comment beside
the rule, and in the report on standard error.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from firebreak.detectors.findings import ActorType
from firebreak.detectors.literals import either
from firebreak.detectors.loki_query import Inexpressible, filters, label_of, line_filter, words_of
from firebreak.detectors.rules import Correlation, Rule, RuleError, RuleSet, load_rules

SELECTOR = '{job="firebreak"}'
EVERY = "1m"
_ACTOR = {ActorType.USER: "user", ActorType.TOKEN: "token_id"}
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=="}
HEAD = """\
# Firebreak's rules as a Loki ruler file; made by `python -m firebreak.detectors.loki_rules`, not by hand.
# The lines of the interaction log are JSON, in the streams of {selector}, under Firebreak's own keys.
# Text is read as it stands: no other views of it (zero-width characters, look-alike letters, encodings).
# An absent key and an empty text are the same to Loki, and a line that is sent twice counts twice.
"""


@dataclass
class Exported:
    """One rule's alert; None where LogQL can't say it, and ``notes`` why, or what is different there."""

    rule: Rule | Correlation
    alert: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def export(rules: RuleSet, selector: str = SELECTOR) -> list[Exported]:
    """Each rule and correlation, by id."""
    by_id = {rule.id: rule for rule in rules.rules}
    exported = []
    for rule in rules.everything:
        one = Exported(rule)
        exported.append(one)
        try:
            if isinstance(rule, Correlation):
                expression = _of_correlation(rule, by_id, selector, one.notes)
            else:
                expression = _of_rule(rule, selector, one.notes)
        except Inexpressible as error:
            one.notes = [f"not exported: {error}"]
            continue
        one.alert = _alert(rule, expression)
        one.notes = list(dict.fromkeys(one.notes))
    return exported


def written(exported: Iterable[Exported], selector: str = SELECTOR) -> str:
    """The ruler file."""
    lines = [HEAD.format(selector=selector), "groups:\n  - name: firebreak\n    interval: " + EVERY + "\n    rules:\n"]
    for one in exported:
        lines += [f"      # {one.rule.id}: {note}\n" for note in one.notes]
        if one.alert is not None:
            block = yaml.safe_dump([one.alert], sort_keys=False, allow_unicode=True, width=10_000)
            lines += [f"      {line}\n" for line in block.splitlines()]
    return "".join(lines)


def _of_rule(rule: Rule, selector: str, notes: list[str]) -> str:
    if rule.service != "interaction-log":
        raise Inexpressible("it judges windows of use against their own baseline, which no line holds")
    if not rule.raises:
        raise Inexpressible("it raises nothing of its own; the correlations over it are exported")
    condition = filters(rule.tree, notes)
    by = dict.fromkeys(("workflow", _ACTOR.get(rule.actor, "workflow")))
    lines = f"{selector}{line_filter(words_of(rule.tree))} | json | {condition}"
    return f'sum by ({", ".join(by)}) (count_over_time({lines} | __error__="" [{EVERY}])) > 0'


def _of_correlation(correlation: Correlation, rules: dict[str, Rule], selector: str, notes: list[str]) -> str:
    counting = correlation.counting
    bases = [rules[name] for name in counting.rules]
    conditions = [filters(base.tree, notes) for base in bases]
    words = either(words_of(base.tree) for base in bases)
    grouped = [label_of(name) for name in counting.group_by]
    counted = [] if counting.field is None else [label_of(counting.field)]
    joined = conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})"
    there = "".join(f' | {label}!=""' for label in (*grouped, *counted))
    lines = f'{selector}{line_filter(words)} | json | {joined}{there} | __error__=""'
    over_time = f"count_over_time({lines} [{counting.seconds}s])"
    if counting.field is None:
        count = f"sum {_by(grouped)}({over_time})"
    else:
        count = f"count {_by(grouped)}(sum {_by([*grouped, *counted])}({over_time}))"
    if counting.settles:
        notes.append("Loki judges the time just past, at any moment; the scan judges windows that are over")
    if counting.generate:
        notes.append("the findings' records are counted here, not the findings: whoever the text came from")
    return f"{count} {_OPERATORS[counting.operator]} {counting.count}"


def _by(labels: list[str]) -> str:
    return f"by ({', '.join(labels)}) " if labels else ""


def _alert(rule: Rule | Correlation, expression: str) -> dict[str, Any]:
    labels = {"severity": rule.severity.value, "kind": rule.kind, "rule": rule.id}
    if not isinstance(rule, Correlation) or "workflow" in rule.counting.group_by:
        labels["workflow"] = "{{ $labels.workflow }}"
    return {
        "alert": "Firebreak" + "".join(word.capitalize() for word in rule.id.split("-")),
        "expr": expression,
        "for": "0m",
        "labels": labels,
        "annotations": {
            "summary": _plain(rule.title),
            "runbook": _plain("; ".join(rule.runbook)),
            "falsepositives": _plain("; ".join(rule.falsepositives)),
            "atlas": ", ".join(rule.atlas),
            "owasp": ", ".join(rule.owasp),
        },
    }


def _plain(text: str) -> str:
    """Annotations are templates."""
    return text.replace("{{", '{{ "{{" }}')


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firebreak.detectors.loki_rules", description="The rules for Loki.")
    parser.add_argument("folder", nargs="?", type=Path, help="a team's own rules, beside the shipped ones")
    parser.add_argument(
        "--selector", default=SELECTOR, help=f"the streams of the interaction log (default: {SELECTOR})"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        exported = export(load_rules(own=given.folder), given.selector)
    except RuleError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1
    print(written(exported, given.selector), end="")  # noqa: T201
    whole = sum(one.alert is not None and not one.notes for one in exported)
    partly = sum(one.alert is not None and bool(one.notes) for one in exported)
    for one in exported:
        for note in one.notes:
            print(f"{one.rule.id}: {note}", file=sys.stderr)  # noqa: T201
    print(f"{whole} exported whole, {partly} with a difference, {len(exported) - whole - partly} not", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
