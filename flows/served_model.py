"""The model that serves in this process: the registry's champion, looked up again every few seconds."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from firebreak.blocks.model_files import with_probabilities
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.registry_errors import ModelRefused
from firebreak.flows.shared import load_block

BUILT_IN = "built-in"  # the version of a model that no registry holds
LOOK_EVERY = 5.0  # seconds between two looks at which version is the champion
LOOK_AFTER_FAILURE = 30.0

logger = logging.getLogger("firebreak.router")


def find_registry() -> ModelRegistry | None:
    """The block ``model-registry/firebreak``; None where there is none. Errors: ValidationError (it is unusable)."""
    try:
        return load_block(ModelRegistry)
    except ValidationError:
        raise
    except ValueError:
        return None


class ServedModel:
    """Loads a version once. Where the champion can't be had, the last one goes on, and one log line says so."""

    def __init__(
        self,
        built_in: Callable[[], Any],
        registry: Callable[[], ModelRegistry | None] = find_registry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``built_in`` gives the model for as long as there is no registry or no champion in it."""
        self._built_in, self._registry, self._clock = built_in, registry, clock
        self._lock = threading.Lock()
        self._serving: tuple[Any, str] | None = None
        self._next_look = 0.0
        self._refused: str | None = None  # the version that can't be loaded, not fetched again and again
        self._said: str | None = None

    def current(self) -> tuple[Any, str]:
        """Model and version. One thread looks, the others go on with what serves.

        Errors: RegistryError, when nothing was ever loaded in this process.
        """
        if self._due() and self._lock.acquire(blocking=self._serving is None):
            try:
                if self._due():
                    self._look()
            finally:
                self._lock.release()
        assert self._serving is not None
        return self._serving

    def _due(self) -> bool:
        return self._serving is None or self._clock() >= self._next_look

    def _look(self) -> None:
        try:
            self._serving = self._champion()
        except Exception as error:
            if self._serving is None:
                raise
            if str(error) != self._said:
                logger.warning("version %s goes on serving: %s", self._serving[1], error)
            self._said = str(error)
            self._next_look = self._clock() + LOOK_AFTER_FAILURE
        else:
            self._next_look = self._clock() + LOOK_EVERY

    def _champion(self) -> tuple[Any, str]:
        registry = self._registry()
        number = registry.champion_number() if registry else None
        if registry is None or number is None:
            number, model = BUILT_IN, self._built_in()
        elif self._serving and number in (self._serving[1], self._refused):
            return self._serving
        else:
            try:
                loaded = registry.load_model(registry.get(number))
                model = with_probabilities(loaded, f"{registry.model} version {number}")
            except ModelRefused:
                self._refused = number
                raise
        self._said = self._refused = None
        return model, number
