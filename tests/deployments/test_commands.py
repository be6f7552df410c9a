"""The one-deployment table that mends a single sabotage."""

import pytest
import yaml

from firebreak.deployments import commands


def test_only_one_deployment_is_in_the_table() -> None:
    table = yaml.safe_load(commands.only("scan-logs/interaction-log"))
    (ours,) = table["deployments"]
    assert (ours["name"], ours["entrypoint"]) == ("interaction-log", "firebreak.flows.scan_logs.scan_logs")
    assert ours["schedules"]
    assert ours["work_pool"]["name"] == "firebreak"


def test_an_unknown_deployment_is_refused() -> None:
    with pytest.raises(LookupError, match="no deployment triage/elsewhere"):
        commands.only("triage/elsewhere")
