"""What every program of a system finds in its environment."""

import os
import sys
from pathlib import Path

from firebreak.blocks.store.approvers import KEY_VARIABLE
from firebreak.deployments.processes import MARK

MODEL_KEY = "FIREBREAK_MODEL_KEY"
"""Environment variable with the model endpoint's API key: only bootstrap sees it, and puts it in a block."""


def scrubbed() -> dict[str, str]:
    """This process's environment without its Prefect settings, its keys, or a proxy for loopback."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    for key in (MODEL_KEY, KEY_VARIABLE, MARK):
        env.pop(key, None)
    loopback = "127.0.0.1,localhost"
    for key in ("NO_PROXY", "no_proxy"):
        env[key] = f"{env[key]},{loopback}" if env.get(key) else loopback
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # every flow run is a new Python: compile once
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env


def client_settings(api_url: str, prefect_home: Path, password: str | None) -> dict[str, str]:
    """What a client of the server, a worker or a flow run needs."""
    settings = {
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",  # also ends a run cancelled while it starts
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # `reconcile` ends runs that miss them
    }
    if password:
        settings["PREFECT_API_AUTH_STRING"] = f"firebreak:{password}"
    return settings


def server_settings(api_url: str, prefect_home: Path, password: str | None) -> dict[str, str]:
    """What the server needs besides."""
    settings = {
        "PREFECT_SERVER_UI_API_URL": api_url,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(prefect_home / "ui"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # In memory, a restart would forget who holds a deployment's slot, and never free it.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10",  # a released schedule runs again within this
        "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS": "30",
    }
    if password:
        settings["PREFECT_SERVER_API_AUTH_STRING"] = f"firebreak:{password}"
    return settings
