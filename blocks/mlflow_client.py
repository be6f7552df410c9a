"""MLflow's own client: quiet, quick to fail, and its errors in our words."""

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from firebreak.blocks.registry_errors import (
    RegistryError,
    RegistryMisconfigured,
    RegistryRefused,
    RegistryUnreachable,
    UnknownVersion,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

# MLflow is set up by environment variables only; what the user set stands.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",  # else it prints to the terminal
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # retries belong to tasks; by default a call hangs for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
SQLITE = "sqlite:///"
NOT_FOUND = {"RESOURCE_DOES_NOT_EXIST"}
NOT_ALLOWED = {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"}
NO_ANSWER = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


def place(uri: str) -> str:
    """The address as it may be shown: without user and password."""
    parts = urlsplit(uri)
    if parts.hostname:
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    return uri.removeprefix(SQLITE)


@lru_cache(maxsize=8)
def connect(uri: str) -> "MlflowClient":
    """One client per address and process; a SQLite file is made where there is none (mode 0600).

    Errors: RegistryMisconfigured, RegistryUnreachable.
    """
    if uri.startswith(SQLITE):
        _prepare(Path(uri.removeprefix(SQLITE)))
    elif urlsplit(uri).scheme not in ("http", "https") or not urlsplit(uri).hostname:
        raise RegistryMisconfigured(
            "model registry: tracking_uri is neither sqlite:////absolute/path.db nor the http(s):// address of an "
            "MLflow server; correct it in the block model-registry"
        )
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # we say it ourselves
    return asked(uri, "opened", MlflowClient, uri, uri)


def asked(uri: str, doing: str, verb: Callable[..., T], *args: object, **named: object) -> T:
    """What MLflow's ``verb`` gives. ``doing`` finishes 'model registry … can't be'. Errors: RegistryError."""
    failure: RegistryError
    try:
        return verb(*args, **named)
    except RegistryError:
        raise
    except Exception as error:  # noqa: BLE001 - MLflow lets through whatever its transports and parsers raise
        failure = _translated(uri, doing, error)
    raise failure  # outside the handler: MLflow's own message may hold the password


def _translated(uri: str, doing: str, error: Exception) -> RegistryError:
    from mlflow.exceptions import MlflowException

    code = getattr(error, "error_code", "")
    said = " ".join(str(error).split()).replace(uri, place(uri)).replace(urlsplit(uri).password or "\0", "***")
    what = f"model registry {place(uri)}: can't be {doing} ({said[:300]})"
    if code in NOT_FOUND or isinstance(error, FileNotFoundError):
        return UnknownVersion(what)
    if code in NOT_ALLOWED:
        return RegistryMisconfigured(f"{what}; check user and password in the block model-registry")
    if code in NO_ANSWER or isinstance(error, OSError):
        return RegistryUnreachable(f"{what}; is it up, and is tracking_uri in the block model-registry right?")
    if isinstance(error, MlflowException):
        return RegistryRefused(what)
    return RegistryMisconfigured(f"{what}; is tracking_uri in the block model-registry that of an MLflow server?")


def _prepare(path: Path) -> None:
    """MLflow would try a bad file for two minutes, so look first."""
    if not path.is_absolute():
        raise RegistryMisconfigured(
            f"model registry: sqlite path {path} is relative; write sqlite:////absolute/path.db"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(path, timeout=20)) as database:
            database.execute("PRAGMA schema_version")
    except (OSError, sqlite3.OperationalError) as error:
        raise RegistryUnreachable(f"model registry file {path}: {getattr(error, 'strerror', None) or error}") from None
    except sqlite3.DatabaseError as error:
        raise RegistryMisconfigured(f"model registry file {path}: {error}; name another in tracking_uri") from None
