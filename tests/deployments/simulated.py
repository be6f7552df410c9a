"""A simulated model as its own process, for tests."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firebreak.deployments.ports import LOOPBACK
from tests.waiting import until


@contextmanager
def simulated_model(folder: Path, port: int = 0) -> Iterator[str]:
    """Its base URL; its output is in ``folder/output``."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "firebreak.deployments.simulated_model"]
    with (folder / "output").open("w") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--port-file", str(port_file)], stdout=output, stderr=output
        )
    try:
        until(lambda: port_file.exists() or server.poll() is not None, 30, "the simulated model's port")
        yield f"http://{LOOPBACK}:{int(port_file.read_text())}/v1"
    finally:
        server.terminate()
        server.wait(10)
