"""How a version comes into MLflow: a run with parameters and metrics, its files, and last the version itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from firebreak.blocks.model_sources import own_place
from firebreak.blocks.registry_errors import RegistryUnreachable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

T = TypeVar("T")


def register_version(
    client: "MlflowClient",
    uri: str,
    model: str,
    folder: Path | None,
    file: Path,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    report: str | None,
) -> str:
    """The new version's number. Killed on the way, it leaves a run without a version, which nobody loads.

    Errors: ModelRefused (the experiment keeps its files where no version's would be read), RegistryUnreachable.
    """
    run = client.create_run(_experiment(client, f"firebreak-{model}", folder), tags=dict(tags)).info
    source = f"{run.artifact_uri}/{file.name}"
    own_place(uri, folder, source, f"{model} (new)")
    for name, value in parameters.items():
        client.log_param(run.run_id, name, value)
    for name, number in metrics.items():
        client.log_metric(run.run_id, name, float(number))
    client.log_artifact(run.run_id, str(file))
    if report is not None:
        client.log_text(run.run_id, report, "report.html" if report.lstrip().startswith("<") else "report.md")
    client.set_terminated(run.run_id)
    _unless_there(client.create_registered_model, model)
    made = client.create_model_version(model, source, run.run_id, tags=dict(tags), await_creation_for=0)
    return str(made.version)


def _experiment(client: "MlflowClient", name: str, folder: Path | None) -> str:
    """The experiment's id; ``folder`` (mode 0700: a text model holds words of the texts) is for a new one."""
    if (found := client.get_experiment_by_name(name)) is None:
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise RegistryUnreachable(f"model registry folder {folder}: {error.strerror}") from None
        _unless_there(client.create_experiment, name, folder.absolute().as_uri() if folder else None)
        found = client.get_experiment_by_name(name)
        assert found
    return str(found.experiment_id)


def _unless_there(verb: Callable[..., T], *args: object) -> T | None:
    from mlflow.exceptions import MlflowException

    try:
        return verb(*args)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return None
