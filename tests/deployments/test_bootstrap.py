"""Bootstrap on a real Prefect server: done twice nothing doubles, and nobody's change is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from firebreak.blocks.guard import Guard
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.model_endpoint import ModelEndpoint
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.store import Store
from firebreak.deployments import bootstrap
from firebreak.deployments.environment import MODEL_KEY
from firebreak.deployments.home import Home
from firebreak.deployments.simulated_model import MODELS
from firebreak.deployments.system import System
from firebreak.detectors.drift.spec import SHIPPED
from firebreak.flows.shared import load_block

pytestmark = pytest.mark.integration
KEY = "a-key-nobody-else-may-see"
URL = "http://127.0.0.1:9/v1"


@pytest.fixture
def client(prefect_server: System) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_KEY, KEY)


def run(home: Path, *more: str) -> int:
    return bootstrap.main(["--home", str(home), "--model-url", URL, *more])


def everything(client: SyncPrefectClient, home: Path) -> dict[str, object]:
    """All that bootstrap may have made, with ids and times of change."""
    documents = client.read_block_documents(include_secrets=True, limit=200)
    store = Store(f"sqlite:///{Home.at(home).store}")
    return {
        "pools": sorted((p.name, str(p.id)) for p in client.read_work_pools()),
        "types": sorted(t.slug for t in client.read_block_types()),
        "documents": sorted((str(d.block_type_name), str(d.name), str(d.id), str(d.updated)) for d in documents),
        "automations": sorted((a.name, str(a.id)) for a in client.read_automations()),
        "policy": store.registers.policy(),
        "canaries": {**store.facts().canaries},
    }


def test_twice_nothing_doubles(client: SyncPrefectClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    first = everything(client, tmp_path)
    assert len(first["documents"]) == 14  # type: ignore[arg-type]
    assert first["policy"]
    assert run(tmp_path) == 0
    assert everything(client, tmp_path) == first

    printed = capsys.readouterr()
    assert KEY not in printed.out + printed.err + Home.at(tmp_path).written.read_text()
    assert Home.at(tmp_path).written.stat().st_mode & 0o077 == 0
    endpoint = load_block(ModelEndpoint)
    assert (endpoint.base_url, endpoint.model, endpoint.api_key.get_secret_value()) == (URL, MODELS[0], KEY)


def test_a_changed_document_is_kept_until_told_otherwise(
    client: SyncPrefectClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 0
    log = load_block(InteractionLog)
    log.workflow = "ours"
    log.save("firebreak", overwrite=True)
    assert load_block(Guard).log.workflow == "ours"  # the guard refers to the document
    capsys.readouterr()

    assert run(tmp_path, "--model-url", "http://127.0.0.1:10/v1") == 0
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert said["block interaction-log/firebreak"].startswith("kept")
    assert said["block model-endpoint/firebreak"] == "updated"
    assert said["block guard/firebreak"] == "unchanged"
    assert load_block(InteractionLog).workflow == "ours"
    assert load_block(ModelEndpoint).base_url == "http://127.0.0.1:10/v1"

    assert run(tmp_path, "--overwrite") == 0
    assert load_block(InteractionLog).workflow == "unnamed"


def test_a_stored_key_survives_a_bootstrap_without_one(
    client: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path) == 0
    monkeypatch.delenv(MODEL_KEY)
    assert run(tmp_path) == 0
    assert load_block(ModelEndpoint).api_key.get_secret_value() == KEY
    assert run(tmp_path, "--model-url", "http://127.0.0.1:10/v1") == 0  # another address does not get that key
    assert load_block(ModelEndpoint).api_key.get_secret_value() != KEY


def test_a_broken_policy_is_refused_and_the_old_one_stays(
    client: SyncPrefectClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 0
    shipped = everything(client, tmp_path)["policy"]
    policy = tmp_path / "mine.yml"
    policy.write_text("version: 1\nplaybooks: []\nplaybook: []\n")
    assert run(tmp_path, "--policy", str(policy)) == 2
    said = capsys.readouterr().err
    assert str(policy) in said
    assert "playbook" in said
    assert everything(client, tmp_path)["policy"] == shipped

    policy.write_text("version: 1\nplaybooks: []\n")
    assert run(tmp_path, "--policy", str(policy)) == 0
    assert run(tmp_path) == 0  # without --policy, the person's policy stays
    assert everything(client, tmp_path)["policy"] == policy.read_text()


def test_a_spec_that_cannot_be_used_is_refused_before_anything_is_done(
    client: SyncPrefectClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, shipped = tmp_path / "mine.yml", SHIPPED.read_text()
    for text, said in (
        ("dataset: [", "not valid YAML"),
        (shipped.replace("dataset: support-tickets", "dataset: parcels"), "bootstrap writes the block of support-tick"),
        (shipped.replace("latency_ms:", "weight:"), "an interaction log has no 'weight'"),
    ):
        spec.write_text(text)
        assert run(tmp_path / "home", "--dataset-spec", str(spec)) == 2
        printed = capsys.readouterr()
        assert str(spec) in printed.err
        assert said in printed.err
        assert printed.out == ""
    spec.write_text(shipped)
    assert run(tmp_path / "home", "--dataset-spec", str(spec)) == 0
    dataset = load_block(MonitoredDataset, "support-tickets")
    assert (dataset.spec, dataset.registry) == (spec, load_block(ModelRegistry))
    assert run(tmp_path / "home") == 0
    assert load_block(MonitoredDataset, "support-tickets").spec == spec  # a forgotten flag takes nothing back


def test_another_registry_gets_a_router_of_its_own(client: SyncPrefectClient, tmp_path: Path) -> None:
    assert run(tmp_path / "home") == 0
    other = f"sqlite:///{tmp_path}/other/mlflow.db"
    for _ in range(2):
        assert run(tmp_path / "home", "--registry-url", other) == 0
    registry = load_block(ModelRegistry)
    assert registry.tracking_uri.get_secret_value() == other
    assert [version.number for version in registry.versions()] == ["1"]
    assert registry.champion_number() == "1"
    assert other not in Home.at(tmp_path / "home").written.read_text()


def test_no_server_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings(updates={PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert run(tmp_path) == 3
    assert "PREFECT_API_URL" in capsys.readouterr().err
