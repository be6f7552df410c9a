from pathlib import Path

import pytest

from firebreak.detectors.drift.spec import SHIPPED, DatasetSpec, Kind, Method, SpecError, parse_spec, read_spec
from firebreak.flows.router import read_tickets

BASE = """
dataset: d
workflow: w
source: {type: interaction-log}
window: {rows: 200}
reference: {rows: 400}
columns:
  x: {kind: numerical, method: ks, threshold: 0.05}
"""


def test_the_shipped_spec_reads_and_knows_the_router_s_queues() -> None:
    spec = read_spec(SHIPPED)
    assert (spec.dataset, spec.workflow, spec.prediction, spec.target) == (
        "support-tickets",
        "answer-tickets",
        "router_label",
        "feedback",
    )
    assert set(spec.columns) - set(spec.features) == {"router_label", "feedback"}
    assert set(spec.columns["router_label"].categories or ()) == set(read_tickets()[1])


def test_what_is_left_out_has_a_safe_value() -> None:
    spec = parse_spec(BASE, "s.yml")
    assert (spec.prediction, spec.target, spec.features, spec.text) == (None, None, ("x",), "text")
    assert (spec.persistence.k, spec.persistence.of, spec.reference.renew) == (2, 3, "fixed")


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("kind", Kind)
def test_a_method_judges_the_kinds_that_evidently_lets_it(kind: Kind, method: Method) -> None:
    text = BASE + f"  y: {{kind: {kind}, method: {method}, threshold: 0.1}}\n"
    numbers_only, labels_only = {Method.WASSERSTEIN, Method.KS}, {Method.CHISQUARE}
    if method in (labels_only if kind is Kind.NUMERICAL else numbers_only):
        with pytest.raises(SpecError, match=rf"s.yml: columns.y: method {method} can't judge a {kind} column; allowed"):
            parse_spec(text, "s.yml")
    else:
        assert parse_spec(text, "s.yml").columns["y"].method is method


def column(text: str) -> str:
    return BASE + f"  y: {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataset: [", "s.yml: not valid YAML"),
        ("- 1", "s.yml: expected a mapping with the keys dataset, workflow"),
        ("dataset: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        (BASE.replace("dataset: d", "dataset: D d"), "dataset: String should match pattern"),
        (BASE.replace("workflow: w\n", ""), "workflow: Field required"),
        (BASE + "wokflow: w\n", "wokflow: unknown key; allowed here: dataset, workflow, description"),
        (BASE + "severity: awful\n", "severity: Input should be 'low', 'medium'"),
        (BASE + "false_discovery_rate: 1\n", "false_discovery_rate: Input should be less than 1"),
        (BASE + "minimum_sample: 300\n", "minimum_sample: 300 is never reached; at most window.rows, 200"),
        (BASE + "text: id\n", "id, time and text must be three different columns, found id, time, id"),
        (BASE + "id: x\n", "columns: x can't be judged: named as id, time or text"),
        (BASE + "persistence: {k: 4}\n", "persistence: k is 4, of is 3: k must be at most of"),
        (BASE + "persistence: {n: 4}\n", "persistence.n: unknown key; allowed here: k, of, recover"),
        (BASE.replace("rows: 200", "rows: 1"), "window.rows: Input should be greater than or equal to 2"),
        (BASE.replace("interaction-log", "csv"), "source: type csv needs path"),
        (BASE.replace("interaction-log", "interaction-log, path: a.csv"), "source: type interaction-log takes no path"),
        (BASE.replace("interaction-log", "excel"), "source.type: Input should be 'interaction-log', 'csv' or"),
        (BASE.replace("rows: 400", "rows: 400, path: a.csv, renew: last-approved"), "reference: a reference in a file"),
        (BASE.partition("columns:")[0] + "columns: {}\n", "columns: Dictionary should have at least 1 item"),
        (column("kind: numerical, method: ks"), "columns.y.threshold: Field required"),
        (column("kind: numerical, method: t-test, threshold: 1"), "columns.y.method: Input should be 'wasserstein'"),
        (column("kind: text, method: ks, threshold: 1"), "columns.y.kind: Input should be 'numerical', 'categorical'"),
        (column("kind: numerical, method: ks, threshold: 2"), "columns.y: threshold 2 is never reached; ks allows"),
        (column("kind: target, method: jensenshannon, threshold: 0.9"), "jensenshannon allows 0 to 0.8326"),
        (column("kind: numerical, method: psi, threshold: 0"), "columns.y.threshold: Input should be greater than 0"),
        (column("kind: numerical, method: psi, threshold: .nan"), "columns.y.threshold: Input should be"),
        (column("kind: numerical, method: psi, threshold: .inf"), "columns.y.threshold: Input should be a finite"),
        (column("kind: numerical, method: psi, threshold: 1, treshold: 1"), "columns.y.treshold: unknown key; allowed"),
        (column("kind: numerical, method: psi, threshold: 1, effect: 2"), "columns.y.effect: Input should be less"),
        (column("kind: numerical, method: psi, threshold: 1, categories: [a]"), "columns.y: categories are for labels"),
        (column("kind: target, method: psi, threshold: 1, minimum: 0"), "columns.y: minimum and maximum are for"),
        (column("kind: target, method: psi, threshold: 1, categories: []"), "columns.y.categories: Tuple should have"),
        (column("kind: numerical, method: psi, threshold: 1, minimum: 2, maximum: 1"), "minimum 2 is above maximum 1"),
        (
            column("kind: target, method: psi, threshold: 1") + "  z: {kind: target, method: psi, threshold: 1}\n",
            "columns: one target at most, found y, z",
        ),
    ],
)
def test_a_broken_spec_is_refused_with_file_key_and_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_spec(text, "s.yml")
    assert str(refused.value).startswith("s.yml: ")
    assert says in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SpecError, match=r"window.rows: .*; minimum_sample: "):
        parse_spec(BASE.replace("rows: 200", "rows: many") + "minimum_sample: 0\n", "s.yml")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="can't be read"):
        read_spec(tmp_path / "none.yml")


def test_a_spec_can_be_kept_as_json() -> None:
    spec = read_spec(SHIPPED)
    assert DatasetSpec.model_validate_json(spec.model_dump_json()) == spec
