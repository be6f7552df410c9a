"""A deployment's concurrency limit: to 0, and back.

Prefect's deployment API refuses 0, so the limit itself is set. A deployment may share a limit with
others; setting that to 0 would stop them too, so such a deployment is bound to one of its own.
"""

from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from firebreak.blocks.workflow_state import LimitState

OWN = "deployment:"


def own_name(deployment: DeploymentResponse) -> str:
    """The name Prefect gives the limit of one deployment."""
    return f"{OWN}{deployment.id}"


def is_own(deployment: DeploymentResponse) -> bool:
    limit = deployment.global_concurrency_limit
    return limit is not None and limit.name == own_name(deployment)


def zero_limit(client: SyncPrefectClient, deployment: DeploymentResponse) -> None:
    _put_own(client, deployment, 0)


def put_limit(client: SyncPrefectClient, deployment: DeploymentResponse, former: LimitState | None) -> list[str]:
    """Put the former limit back; None removes the deployment's own. Returns what could not be done."""
    if former and former.name.startswith(OWN):
        _put_own(client, deployment, former.value)
        return []
    notices: list[str] = []
    if former is None:
        if is_own(deployment):
            _bind(client, deployment.id, None)
    else:
        try:
            _bind(client, deployment.id, former.id)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            _bind(client, deployment.id, None)
            notices.append(f"deployment {deployment.name}: its shared limit {former.name} is gone; it has none now")
    with suppress(ObjectNotFound):
        client.delete_global_concurrency_limit_by_name(own_name(deployment))
    return notices


def _put_own(client: SyncPrefectClient, deployment: DeploymentResponse, value: int) -> None:
    name = own_name(deployment)
    client.upsert_global_concurrency_limit_by_name(name, value)
    if not is_own(deployment):
        _bind(client, deployment.id, client.read_global_concurrency_limit_by_name(name).id)


def _bind(client: SyncPrefectClient, deployment_id: UUID, limit_id: UUID | None) -> None:
    # The client's DeploymentUpdate lacks this field; the server's has it.
    client.request(
        "PATCH",
        "/deployments/{id}",
        path_params={"id": deployment_id},
        json={"global_concurrency_limit_id": str(limit_id) if limit_id else None},
    )
