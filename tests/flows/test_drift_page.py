"""The dataset's page: its small charts."""

import pytest

from firebreak.flows.drift_page import sparkline


@pytest.mark.parametrize(("scores", "shown"), [([0, 0.1, 0.2, None, 9], "▁▅█·█"), ([], ""), ([0.05], "▃")])
def test_a_chart_is_one_bar_a_window_with_the_threshold_at_half_height(scores: list[float | None], shown: str) -> None:
    assert sparkline(scores, 0.1) == shown
