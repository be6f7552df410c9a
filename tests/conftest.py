"""Fixtures for the whole suite: a scrubbed environment, a real Prefect server, a whole system."""

import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

# Before anything imports Prefect: neither the user's settings nor a server of theirs may be met by a test.
for key in [key for key in os.environ if key.startswith(("PREFECT_", "FIREBREAK_", "OPENAI_"))]:
    del os.environ[key]
for key in [key for key in os.environ if key.lower().endswith("_proxy")]:
    del os.environ[key]
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="firebreak-tests-")
os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"  # a client without a server fails, it starts none
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
os.environ["DO_NOT_TRACK"] = "1"
# An action of a user's own, installed for the suite's processes: here, and in every program a system starts.
PLUGIN = str(Path(__file__).parent / "end_to_end" / "plugin")
sys.path.insert(0, PLUGIN)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PLUGIN, os.environ.get("PYTHONPATH")]))

import pytest  # noqa: E402
from prefect.client.orchestration import get_client  # noqa: E402

from firebreak.deployments.commands import Options  # noqa: E402
from firebreak.deployments.demo import small_dataset, trial_policy  # noqa: E402
from firebreak.deployments.system import System  # noqa: E402


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A Prefect server alone, password-protected: no worker, no blocks, no deployments."""
    home = tmp_path_factory.mktemp("server")
    with System(home, Options(only_server=True, password=True)) as server:
        yield server


@pytest.fixture
def prefect_server(running_server: System) -> Iterator[System]:
    """The session's Prefect server without any block document, with this test's Prefect clients pointed at it."""
    with running_server.clients():
        with get_client(sync_client=True) as client:
            for document in client.read_block_documents(limit=200):
                client.delete_block_document(document.id)
        yield running_server


@pytest.fixture(scope="module")  # not longer: its flows run all the time, and would slow down everything after it
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Everything: server, simulated model, worker, blocks, deployments; dataset's windows and policy are the demo's."""
    home = tmp_path_factory.mktemp("system")
    with System(home, Options(dataset_spec=small_dataset(home), policy=trial_policy(home))) as system:
        yield system


@pytest.fixture
def system(running_system: System) -> Iterator[System]:
    """The file's whole system, with this test's Prefect clients pointed at it."""
    with running_system.clients():
        yield running_system


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The two long files first, one for each process: while they wait for programs, they wait together."""
    items.sort(key=lambda item: not item.path.name.endswith("_loop.py"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is set, a test that could not be run has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure with CI=true: {report.longrepr}"
    return report
