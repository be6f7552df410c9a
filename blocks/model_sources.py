"""Where a version's file may be. A version names any address, so only the registry's own places are followed."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from firebreak.blocks.mlflow_client import SQLITE
from firebreak.blocks.registry_errors import ModelRefused

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SERVED = ("mlflow-artifacts", "s3", "gs", "abfss", "wasbs")  # through the server, or a cloud's store


def local_folder(uri: str, artifacts: Path | None) -> Path | None:
    """Where the model files of a SQLite registry are; None with a server, which has a place of its own."""
    if not uri.startswith(SQLITE):
        return None
    database = Path(uri.removeprefix(SQLITE))
    return artifacts or database.with_name(f"{database.stem}-artifacts")


def fetch(client: "MlflowClient", uri: str, folder: Path | None, model: str, number: str, into: str) -> Path:
    """The file or folder of version ``number``: where it is, or downloaded to ``into``.

    Errors: ModelRefused (it isn't among the registry's own), FileNotFoundError, and what MLflow raises.
    """
    from mlflow.artifacts import download_artifacts

    source = str(client.get_model_version_download_uri(model, number))  # of a source models:/… what that stands for
    if source.startswith("runs:"):
        run, _, path = source.removeprefix("runs:").lstrip("/").partition("/")
        source = f"{client.get_run(run).info.artifact_uri}/{path}"
    place = own_place(uri, folder, source, f"{model} version {number}")
    if place is None:
        return Path(download_artifacts(artifact_uri=source, dst_path=into, tracking_uri=uri, registry_uri=uri))
    if not place.exists():
        raise FileNotFoundError("it is gone")
    return place


def own_place(uri: str, folder: Path | None, address: str, name: str) -> Path | None:
    """With SQLite: the path that ``address`` leads to. None: the server's, or a cloud store's.

    Errors: ModelRefused, which calls it ``name``.
    """
    if folder is not None:
        place = Path(unquote(urlsplit(address).path) if address.startswith("file:") else address).resolve()
        if place.is_relative_to(folder.resolve()):
            return place
        raise ModelRefused(
            f"model {name}: its file isn't in {folder}, the registry's own folder, and no other is read; register it "
            "with the block, or set artifacts in the block model-registry to the folder that holds it"
        )
    parts = urlsplit(address)
    elsewhere = parts.scheme == "mlflow-artifacts" and parts.netloc not in ("", urlsplit(uri).netloc.split("@")[-1])
    if parts.scheme not in SERVED or elsewhere:
        where = "on another server" if elsewhere else f"at an address {parts.scheme[:20] or 'file'}:"
        raise ModelRefused(
            f"model {name}: its file is {where}, which isn't followed, only the MLflow server's own artifacts and "
            f"{', '.join(SERVED[1:])}; let the server serve its artifacts, and register the model with the block"
        )
    return None
