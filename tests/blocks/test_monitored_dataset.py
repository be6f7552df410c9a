"""The rows of a dataset, of a log and of a table: each in one window, in order; and what is refused."""

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from firebreak.blocks import monitored_dataset
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.detectors.drift import frames
from firebreak.detectors.drift.frames import FrameError
from firebreak.detectors.drift.spec import SpecError
from tests.blocks.datasets import SPEC, call, label, log_of, names, offset, read, watched, windows
from tests.blocks.logs import rotate


@pytest.fixture
def dataset(tmp_path: Path) -> MonitoredDataset:
    return watched(tmp_path)


def test_the_oldest_file_is_deleted_in_the_middle_of_a_window(dataset: MonitoredDataset) -> None:
    for number in range(10):
        call(dataset, number)
        if number == 2:
            rotate(log_of(dataset).path)
    first = read(dataset, None)
    assert first.window["id"].tolist() == names(0, 1, 2, 3)
    rotate(log_of(dataset).path)
    log_of(dataset).path.with_name("calls.log.2").unlink()  # 0 to 2
    for number in range(10, 13):
        call(dataset, number)
    found, _ = windows(dataset, first.position)
    assert found == [names(4, 5, 6, 7), names(8, 9, 10, 11)]


def test_a_window_goes_on_in_the_copy_of_a_truncated_log(dataset: MonitoredDataset) -> None:
    for number in range(6):
        call(dataset, number)
    first = read(dataset, None)
    path = log_of(dataset).path
    shutil.copyfile(path, f"{path}.1")
    path.write_bytes(b"")
    for number in range(6, 8):
        call(dataset, number)
    assert windows(dataset, first.position)[0] == [names(4, 5, 6, 7)]


def test_without_a_window_the_position_passes_what_holds_nothing_of_the_dataset(
    dataset: MonitoredDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitored_dataset, "CHUNK_BYTES", 600)
    call(dataset, 0)
    for number in range(1, 40):
        call(dataset, number, workflow="another")
    held = read(dataset, None)
    assert (held.window, held.waiting, held.position) == (None, 1, None)  # the first chunk has a call of ours
    first = read(dataset, None, rows=1)
    idle = read(dataset, first.position)
    assert idle.waiting == 0
    assert offset(idle) == log_of(dataset).path.stat().st_size
    assert read(dataset, idle.position).position == idle.position
    label(dataset, 0, "late")
    call(dataset, 40, workflow="another")
    passed = read(dataset, idle.position)  # a label of a window that is closed holds nothing up
    assert offset(passed) == log_of(dataset).path.stat().st_size
    for number in range(41, 45):
        call(dataset, number)
    assert windows(dataset, passed.position)[0] == [names(41, 42, 43, 44)]


def test_a_label_counts_when_it_came_before_its_window_was_full(dataset: MonitoredDataset) -> None:
    call(dataset, 0)
    label(dataset, 0, "billing")
    label(dataset, 0, "somebody else's", workflow="another")
    call(dataset, 1)
    call(dataset, 1, latency_ms=7.0)  # the same call told twice is one row
    call(dataset, 2)
    call(dataset, 9, response=None, error="timeout")
    assert read(dataset, None).waiting == 3
    label(dataset, 2, "bug")
    call(dataset, 3)
    label(dataset, 1, "too late")
    call(dataset, 4)
    window = read(dataset, None).window
    assert window["id"].tolist() == names(0, 1, 2, 3)
    assert window["feedback"].tolist() == ["billing", None, "bug", None]
    assert window["latency_ms"].tolist()[1] == 7.0
    assert dataset.frame()["feedback"].tolist() == ["billing", "too late", "bug", None, None]
    assert dataset.frame(limit=2)["id"].tolist() == names(4)  # of the two newest lines one is a label


def claims(folder: Path, text: str, kind: str = "csv") -> MonitoredDataset:
    spec = SPEC.replace("{type: interaction-log}", f"{{type: {kind}, path: {folder / 'claims.csv'}}}")
    (folder / "claims.csv").write_text(text)
    return watched(folder, spec)


def rows(*cells: tuple[int, str]) -> str:
    """A table of rows by minute and id."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [f"{id},{(began + timedelta(minutes=minute)).isoformat()},5,{minute},x" for minute, id in cells]
    return "\n".join(["id,time,latency_ms,user,new", *lines, ""])


def test_a_replaced_or_reordered_table_neither_stalls_nor_doubles(tmp_path: Path) -> None:
    cells = [(minute, f"c{minute}") for minute in range(6)]
    table = claims(tmp_path, rows(*cells))
    first = read(table, None)
    assert first.window["user"].tolist() == ["0", "1", "2", "3"]
    assert first.window.attrs["extra"] == ("new",)
    assert first.position == {"time": "2026-01-01T00:03:00+00:00", "id": "c3", "same": 1}
    late, new = (1, "late"), [(6, "c6"), (5, "c5b")]
    table = claims(tmp_path, rows(*new, *reversed(cells), late))  # late belongs before what was taken: skipped
    assert windows(table, first.position)[0] == [["c4", "c5", "c5b", "c6"]]
    table = claims(tmp_path, rows(*cells[4:], *new))  # old rows were removed from the file
    found, position = windows(table, first.position)
    assert found == [["c4", "c5", "c5b", "c6"]]
    assert read(claims(tmp_path, rows()), position).waiting == 0


@settings(deadline=None, max_examples=100)
@given(
    cells=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "a", "b", "é", "\U0001f600", "￿"])), max_size=30),
    size=st.integers(1, 5),
)
def test_every_row_of_a_table_is_in_one_window_in_order(cells: list[tuple[int, str]], size: int) -> None:
    """Ids that are empty or repeat included."""
    with tempfile.TemporaryDirectory() as folder:
        table = claims(Path(folder), rows(*cells))
        taken: list[str | None] = []
        position = None
        while (reading := read(table, position, size)).window is not None:
            taken += reading.window["id"].tolist()
            position = reading.position
        ordered = table.frame()["id"].tolist()
        assert taken == ordered[: len(cells) - len(cells) % size]
        assert reading.waiting == len(cells) % size


def test_a_run_parses_its_table_once_and_again_when_the_file_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[object] = []
    read_table = frames.read_table

    def counted(*arguments: Any) -> Any:
        parsed.append(arguments)
        return read_table(*arguments)

    monkeypatch.setattr(frames, "read_table", counted)
    table = claims(tmp_path, rows(*[(minute, f"c{minute}") for minute in range(8)]))
    found, position = windows(table)
    assert (len(found), len(parsed)) == (2, 1)
    whole = table.frame()
    whole["user"] = "somebody"
    assert read(table, None).window["user"].tolist() == ["0", "1", "2", "3"]
    assert len(parsed) == 1
    fresh = tmp_path / "fresh.csv"
    fresh.write_text(rows(*[(minute, f"c{minute}") for minute in range(8, 12)]))
    os.replace(fresh, tmp_path / "claims.csv")
    assert windows(table, position)[0] == [["c8", "c9", "c10", "c11"]]
    assert len(parsed) == 2
    (tmp_path / "claims.csv").unlink()
    with pytest.raises(FrameError, match=r"claims\.csv: can't be read"):
        read(table, position)


def test_a_position_in_another_kind_of_source_counts_as_none(tmp_path: Path, dataset: MonitoredDataset) -> None:
    for number in range(4):
        call(dataset, number)
    in_log = read(dataset, None).position
    assert windows(dataset, {"time": "2026-01-01T00:00:00+00:00", "id": "a", "same": 1})[0] == [names(0, 1, 2, 3)]
    table = claims(tmp_path, rows(*[(minute, f"c{minute}") for minute in range(4)]))
    assert windows(table, in_log)[0] == [["c0", "c1", "c2", "c3"]]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("minimum_sample", "id: ticket\nminimum_sample", "support-tickets: id: .* no 'ticket'; allowed: id"),
        ("minimum_sample", "time: at\nminimum_sample", "support-tickets: time: .* no 'at'; allowed: time"),
        ("minimum_sample", "text: body\nminimum_sample", "text: .* no 'body'; allowed: text or null"),
        ("latency_ms", "latency", "columns: .* no 'latency'; allowed: user, .*latency_ms.*, feedback"),
    ],
)
def test_what_a_log_does_not_hold_is_refused_by_name(tmp_path: Path, was: str, now: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        watched(tmp_path, SPEC.replace(was, now, 1)).definition()
    assert watched(tmp_path, "text: null\n" + SPEC).definition().text is None
    table = SPEC.replace("{type: interaction-log}", "{type: csv, path: claims.csv}")
    assert watched(tmp_path, table.replace(was, now, 1)).definition().dataset == "support-tickets"


def test_a_dataset_may_name_its_models_registry(tmp_path: Path, dataset: MonitoredDataset) -> None:
    assert dataset.registry is None
    registry = ModelRegistry(tracking_uri=SecretStr(f"sqlite:///{tmp_path}/mlflow.db"))
    assert MonitoredDataset(registry=registry).registry == registry


def test_the_definition_needs_neither_pandas_nor_mlflow(dataset: MonitoredDataset) -> None:
    program = (
        "import sys\nfrom firebreak.blocks.interaction_log import InteractionLog\n"
        "from firebreak.blocks.monitored_dataset import MonitoredDataset\n"
        "MonitoredDataset(log=InteractionLog(path='calls.log')).definition()\n"
        "raise SystemExit(bool({'pandas', 'mlflow', 'sklearn', 'evidently'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_log_source_without_a_log_and_a_broken_spec_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set `log` on this block"):
        MonitoredDataset().definition()
    (tmp_path / "broken.yml").write_text("dataset: x\ncolums: {}\n")
    with pytest.raises(SpecError, match=r"broken\.yml.*colums"):
        MonitoredDataset(spec=tmp_path / "broken.yml").definition()
