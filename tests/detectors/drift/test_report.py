"""The report: Evidently's page, only monitored columns, honest about samples, safe with hostile labels."""

import re

import numpy as np
import pandas as pd
import pytest

from firebreak.detectors.drift.report import render
from firebreak.detectors.drift.spec import parse_spec

SPEC = parse_spec(
    """
dataset: tickets
workflow: answer-tickets
source: {type: interaction-log}
window: {rows: 300}
reference: {rows: 500}
columns:
  latency: {kind: numerical, method: ks, threshold: 0.05}
  label: {kind: prediction, method: psi, threshold: 0.2}
  feedback: {kind: target, method: jensenshannon, threshold: 0.1}
""",
    "tickets.yml",
)
HOSTILE = "</script><script>alert(1)</script>"


def tickets(rows: int, seed: int) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    labels = pd.Series([["billing", "orders"][n] for n in chance.integers(0, 2, rows)], dtype=object)
    secret = pd.Series(["my PIN is 4711"] * rows, dtype=object)
    return pd.DataFrame({"text": secret, "latency": chance.normal(size=rows), "label": labels, "feedback": labels})


def banner(page: str) -> str:
    found = re.search(r'<body><p role="note"[^>]*>(.*?)</p>', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_draws_the_monitored_columns_by_the_pinned_methods() -> None:
    page = render(SPEC, tickets(500, 0), tickets(300, 1))
    assert page.startswith("<!DOCTYPE html>")
    data = page[: page.index("</head>")]  # where Evidently keeps what it draws
    for drawn in ("K-S p_value", "PSI", "Jensen-Shannon distance", "billing"):
        assert drawn in data
    assert "my PIN" not in page
    assert "a sample of" not in banner(page)


def test_a_sample_says_so_and_hostile_labels_stay_text() -> None:
    reference, current = tickets(500, 0), tickets(300, 1)
    current["label"] = HOSTILE
    current["feedback"] = [f"label {n}" for n in range(300)]
    page = render(SPEC, reference, current, sample_rows=200, seed=7)
    assert "reference: rendered on a sample of 200 of 500 rows; verdicts were computed on all rows" in banner(page)
    assert "current: rendered on a sample of 200 of 300 rows" in banner(page)
    assert "feedback: the 100 most common labels of 202" in banner(page)
    data = page[: page.index("</head>")]
    assert data.count("<script>") == data.count("</script>") == 1
    assert "alert(1)" in data


@pytest.mark.parametrize("empty", [tickets(0, 1), pd.DataFrame(), tickets(300, 1).assign(latency=np.inf, label=None)])
def test_what_can_t_be_drawn_is_named(empty: pd.DataFrame) -> None:
    page = render(SPEC, tickets(500, 0), empty.assign(feedback=None))
    for name in ("latency", "label", "feedback"):
        assert f"{name}: not shown, the current has no" in banner(page)


def test_columns_of_one_row_extremes_or_another_type_don_t_stop_the_page() -> None:
    current = tickets(300, 1)
    current.loc[0, "latency"], current.loc[1, "latency"], current.loc[2, "latency"] = np.inf, 1e308, -1e308
    assert "not shown" not in banner(render(SPEC, tickets(1, 0), current))
    page = render(SPEC, tickets(500, 0), tickets(1, 1).assign(latency="soon", label=3))
    assert "latency: not shown, the current has no value to draw" in banner(page)


def test_column_names_and_notes_are_escaped() -> None:
    spec = SPEC.model_copy(update={"columns": {"<i>": SPEC.columns["latency"]}})
    assert "&lt;i&gt;: not shown" in banner(render(spec, tickets(5, 0), tickets(5, 1)))
