"""The executor killed (SIGKILL) while it acts on targets in processes of their own: nothing twice, nothing missing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.drills.drive import BLIND, DRILLS, FIVE, TAKEN_BACK
from tests.flows.drills.kills import Range
from tests.flows.drills.targets import Addresses, serving


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    with serving(*FIVE, "refusing", "pager") as addresses:
        yield addresses


@pytest.fixture
def on_sqlite(addresses: Addresses) -> Iterator[Range]:
    """In memory where there is such a folder: a SIGKILL loses nothing that is written, synchronised or not."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Range(f"sqlite:///{folder}/store.db", addresses)


@pytest.mark.parametrize("name", [TAKEN_BACK, BLIND])
def test_killed_at_every_boundary_each_effect_is_there_once(name: str, on_sqlite: Range) -> None:
    made = on_sqlite.at_every_boundary(DRILLS[name])
    assert made.wrong == []
    assert made.killed > 10


def test_killed_at_random_moments_each_effect_is_there_once(store_url: str, addresses: Addresses) -> None:
    assert Range(store_url, addresses).at_random_moments(DRILLS[TAKEN_BACK], 10, seed=5).wrong == []


def test_killed_again_and_again_it_comes_to_its_end(on_sqlite: Range) -> None:
    assert on_sqlite.again_and_again(DRILLS[BLIND]).wrong == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", DRILLS)
def test_killed_hundreds_of_times(name: str, seed: int, store_url: str, addresses: Addresses) -> None:
    made = Range(store_url, addresses)
    assert made.again_and_again(DRILLS[name]).wrong == []
    assert made.at_random_moments(DRILLS[name], 50, seed).wrong == []
