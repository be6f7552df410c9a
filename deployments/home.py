"""The home directory: everything a Firebreak system keeps on this machine. Mode 0700."""

import fcntl
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from firebreak.deployments.processes import wait_until


class AlreadyRunning(RuntimeError):
    """Another supervisor holds this home."""


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole; only the owner may read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty when there is none or it is damaged."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            return content
    return {}


@dataclass(frozen=True)
class Home:
    """Paths under one directory."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Home":
        """Open or create. Errors: OSError when it can't be made."""
        path = path.expanduser().resolve()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
        home = cls(path)
        for folder in (home.prefect, home.logs):
            folder.mkdir(exist_ok=True, mode=0o700)
        return home

    @property
    def prefect(self) -> Path:
        """PREFECT_HOME: the server's database and profiles, apart from the user's own."""
        return self.path / "prefect"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def store(self) -> Path:
        return self.path / "store.db"

    @property
    def interaction_log(self) -> Path:
        return self.path / "interactions.jsonl"

    @property
    def registry(self) -> Path:
        """MLflow's database: versions of models, and which is the champion."""
        return self.path / "mlflow.db"

    @property
    def models(self) -> Path:
        """The versions' files."""
        return self.path / "models"

    @property
    def reports(self) -> Path:
        """Evidently's pages about windows that drifted."""
        return self.path / "drift-reports"

    @property
    def state(self) -> Path:
        """Addresses and process ids, while a system runs."""
        return self.path / "state.json"

    @property
    def client_env(self) -> Path:
        """Shell lines that point Prefect's command line at this system."""
        return self.path / "env"

    @property
    def written(self) -> Path:
        """Digests of what bootstrap wrote, to tell its own documents from changed ones."""
        return self.path / "bootstrap.json"

    def password(self) -> str:
        """The Prefect server's password, made once."""
        path = self.path / "password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return path.read_text().strip()

    def approver_key(self) -> str:
        """What the approvers' seeds are encrypted with, made once. The store has the seeds, this file the key."""
        path = self.path / "approver-key"
        if not path.exists():
            write_private(path, Fernet.generate_key().decode())
        return path.read_text().strip()

    def lock(self) -> int:
        """Hold this home until the descriptor is closed or the process ends. Errors: AlreadyRunning."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not wait_until(lambda: _locked(descriptor, fcntl.LOCK_EX), 0.5):  # a look at `holder` takes it briefly
            os.close(descriptor)
            raise AlreadyRunning(
                f"a Firebreak system already runs in {self.path}; stop it (make down), or use another --home"
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor

    def holder(self) -> int | None:
        """The process that holds this home now; a stale number can't be mistaken for one. None: nobody."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _locked(descriptor, fcntl.LOCK_SH):
                return None
            return int(os.read(descriptor, 20) or 0) or None
        finally:
            os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
