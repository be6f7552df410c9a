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
