"""scan-drift as a flow on a real Prefect server: run by hand, on a dataset of its own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import SecretStr

from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.deployments.system import System
from firebreak.flows.scan_drift import scan_drift

pytestmark = pytest.mark.integration


def test_by_hand_it_judges_the_windows_and_promises_no_heartbeat(prefect_server: System, tmp_path: Path) -> None:
    rng, began = np.random.default_rng(0), datetime(2026, 5, 1, tzinfo=UTC)
    times = [(began + timedelta(minutes=n)).isoformat() for n in range(230)]
    amounts = np.concatenate([rng.normal(5, 1, 130), rng.normal(8, 1, 100)])
    pd.DataFrame({"id": range(230), "time": times, "amount": amounts}).to_csv(tmp_path / "orders.csv", index=False)
    spec = {
        "dataset": "orders",
        "workflow": "pricing",
        "source": {"type": "csv", "path": str(tmp_path / "orders.csv")},
        "window": {"rows": 50},
        "reference": {"rows": 100},
        "minimum_sample": 30,
        "text": None,
        "columns": {"amount": {"kind": "numerical", "method": "wasserstein", "threshold": 0.1}},
    }
    (tmp_path / "orders.yml").write_text(yaml.safe_dump(spec))
    block = IncidentStore(url=SecretStr(f"sqlite:///{tmp_path}/store.db"))
    block.save("firebreak", overwrite=True)
    MonitoredDataset(spec=tmp_path / "orders.yml").save("orders", overwrite=True)
    store = block.open()

    assert scan_drift(dataset="orders") == "2 window(s) judged, 30 rows wait for their window of 50"
    (incident,) = store.incidents.in_states()
    assert (incident.kind, incident.actor, incident.workflow) == ("drift", "orders", "pricing")
    assert store.health.silent(0) == []  # nobody promised that it runs again

    MonitoredDataset(spec=tmp_path / "orders.yml").save("other", overwrite=True)
    with pytest.raises(ValueError, match="its spec is of orders; give both one name"):
        scan_drift(dataset="other")
