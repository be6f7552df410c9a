"""Registries of a test's own, and the smallest model to put into them."""

from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from firebreak.blocks.model_registry import ModelRegistry


def tiny_model() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit([[0.0], [1.0]], ["a", "b"])


def registry_at(uri: str, **fields: Any) -> ModelRegistry:
    return ModelRegistry(tracking_uri=SecretStr(uri), model=f"m-{uuid4().hex[:12]}", **fields)


def register(registry: ModelRegistry, count: int = 1, **tags: str) -> list[str]:
    return [
        registry.register(tiny_model(), parameters={"C": 10}, metrics={"accuracy": 0.9}, tags=tags).number
        for _ in range(count)
    ]


def run_of(registry: ModelRegistry) -> Any:
    """The run of a new version, which is registered with the block."""
    (number,) = register(registry)
    return registry._client.get_run(str(registry._raw(number).run_id)).info


def point(registry: ModelRegistry, source: str, run: str | None = None) -> str:
    """A version as another program registers it, with a source of its choice; a server wants the run's id as well."""
    made = registry._client.create_model_version(registry.model, source, run, await_creation_for=0)
    return str(made.version)
