"""Block: the model registry, in MLflow: a SQLite file and a folder by default, or an MLflow server.

Its errors are drawn in ``registry_errors.py``. A version's model is a skops file (``model_files.py``).
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from firebreak.blocks.mlflow_client import asked, connect
from firebreak.blocks.model_files import SUFFIX, model_file, read_model, write_model
from firebreak.blocks.model_registration import register_version
from firebreak.blocks.model_sources import fetch, local_folder
from firebreak.blocks.registry_errors import RegistryChanged, UnknownVersion

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

CHAMPION = "champion"  # the alias of the version that serves
RETRAINING = "firebreak.retraining"  # tag: the retraining that registered the version, at most one each
REPLACED = "firebreak.replaced"  # tag: the champion that this version took over from ('' for the first)
PAGE = 100


class Version(BaseModel):
    """One registered version. ``number`` is MLflow's, as text."""

    model_config = ConfigDict(frozen=True)

    name: str
    number: str
    created_at: datetime
    tags: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


class ModelRegistry(Block):
    """Versions of one model, and which of them is the champion. Every verb raises RegistryError and its kinds."""

    _block_type_name = "Model Registry"
    _block_type_slug = "model-registry"
    _description = "Firebreak's model registry: MLflow, on a SQLite file or a server."

    tracking_uri: SecretStr = Field(
        description="sqlite:////absolute/mlflow.db, or http(s)://[user:password@]host of an MLflow server; kept secret"
    )
    artifacts: Path | None = Field(
        default=None, description="with SQLite: folder of the model files; without it, one beside the database"
    )
    model: str = Field(default="support-router", pattern=r"^[\w.-]+$", description="the registered model's name")
    trusted_types: list[Annotated[str, StringConstraints(pattern=r"^(sklearn|numpy|scipy)(\.\w+)+$")]] = Field(
        default_factory=list, description="types a model may hold besides the usual, e.g. sklearn.tree._tree.Tree"
    )

    def champion(self) -> Version | None:
        number = self.champion_number()
        return self.get(number) if number else None

    def champion_number(self) -> str | None:
        """Only which version it is: one request."""
        try:
            found = self._ask("asked for its champion", self._client.get_registered_model, self.model)
        except UnknownVersion:
            return None
        number = found.aliases.get(CHAMPION)
        return None if number is None else str(number)

    def get(self, number: str) -> Version:
        """Errors: UnknownVersion."""
        if not number.isdecimal():
            raise UnknownVersion(f"model {self.model} has no version {number!r}: versions are numbers")
        return self._version(self._ask(f"asked for version {number}", self._raw, number))

    def versions(self) -> list[Version]:
        """All of them, oldest first."""
        return [self._version(found) for found in self._all()]

    def find(self, tag: str, value: str) -> Version | None:
        """The newest version with this tag."""
        found = [version for version in self._all() if version.tags.get(tag) == value]
        return self._version(found[-1]) if found else None

    def former(self, version: Version) -> Version | None:
        """The version to go back to: the champion that ``version`` took over from.

        Where that isn't known (the alias was set elsewhere): the next lower one that was champion and wasn't
        rolled back from, else the next lower one.
        """
        lower = [found for found in self._all() if int(found.version) < int(version.number)]
        was = version.tags.get(REPLACED)
        chosen = [found for found in lower if str(found.version) == was]
        chosen = chosen or [found for found in lower if REPLACED in found.tags] or lower
        return self._version(chosen[-1]) if chosen else None

    def register(
        self,
        pipeline: Any,
        *,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        report: str | None = None,
    ) -> Version:
        """A new version, complete or not at all; the one there is already for the same ``RETRAINING`` tag.

        ``report`` is HTML or Markdown, kept beside the model. Errors: ModelRefused (it couldn't be loaded again).
        """
        if RETRAINING in tags and (before := self.find(RETRAINING, tags[RETRAINING])):
            return before
        with TemporaryDirectory(prefix="firebreak-model-") as folder:
            file = Path(folder) / f"model{SUFFIX}"
            write_model(pipeline, file, self.trusted_types)
            told = (self._client, self._uri, self.model, self._folder, file, parameters, metrics, tags, report)
            number = self._ask("given a new version", register_version, *told)
        return self.get(number)

    def load_model(self, version: Version) -> Any:
        """The fitted estimator.

        Errors: ModelRefused (not in a place of the registry's own, no skops file, or a type that isn't trusted).
        """
        number, name = version.number, f"{self.model} version {version.number}"
        with TemporaryDirectory(prefix="firebreak-model-") as into:
            told = (self._client, self._uri, self._folder, self.model, number, into)
            got = self._ask(f"asked for the file of version {number}", fetch, *told)
            return read_model(model_file(got, name), name, self.trusted_types)

    def set_champion(self, to: str | None, expected: str | None) -> None:
        """Move the alias; None means no champion.

        Errors: RegistryChanged (it isn't ``expected``, or another's move came between), UnknownVersion.
        """
        self._expect(expected, f"so it wasn't moved to {to}")
        if to is not None:
            self._remember(self.get(to), expected)
            self._ask("told its champion", self._client.set_registered_model_alias, self.model, CHAMPION, to)
        elif expected is not None:
            self._ask("told its champion", self._client.delete_registered_model_alias, self.model, CHAMPION)
        # MLflow has no compare-and-set: the actions move under a lease of the store, which keeps us from one
        # another; for everybody else there is only this second look.
        self._expect(to, "moved by somebody else at the same moment")
        if to is not None and expected is not None and int(to) < int(expected):
            self._ask("told", self._client.delete_model_version_tag, self.model, expected, REPLACED)

    def _expect(self, expected: str | None, so: str) -> None:
        now = self.champion_number()
        if now != expected:
            raise RegistryChanged(f"the champion of {self.model} is version {now}, not {expected}: {so}; look again")

    def _remember(self, to: Version, champion: str | None) -> None:
        """Who was champion before; a step back doesn't make the version it leaves one to go back to."""
        forward = champion is not None and int(champion) < int(to.number)
        was = champion if forward else to.tags.get(REPLACED, "")
        self._ask("told", self._client.set_model_version_tag, self.model, to.number, REPLACED, was)

    def _raw(self, number: str) -> "ModelVersion":
        return self._client.get_model_version(self.model, number)

    @property
    def _uri(self) -> str:
        return self.tracking_uri.get_secret_value()

    @property
    def _folder(self) -> Path | None:
        return local_folder(self._uri, self.artifacts)

    @property
    def _client(self) -> "MlflowClient":
        return connect(self._uri)

    def _ask(self, doing: str, verb: Callable[..., T], *args: object) -> T:
        return asked(self._uri, doing, verb, *args)

    def _all(self) -> "list[ModelVersion]":
        return self._ask("asked for its versions", self._pages)

    def _pages(self) -> "list[ModelVersion]":
        found: list[ModelVersion] = []
        token: str | None = None
        while token is None or token:
            page = self._client.search_model_versions(f"name='{self.model}'", PAGE, page_token=token)
            found, token = found + list(page), page.token or ""
        return sorted(found, key=lambda version: int(version.version))

    def _version(self, raw: "ModelVersion") -> Version:
        metrics = dict[str, float]()
        with suppress(UnknownVersion):  # its run was deleted
            if raw.run_id:
                metrics = dict(self._ask("asked for a run", self._client.get_run, raw.run_id).data.metrics)
        tags, created = dict(raw.tags or {}), datetime.fromtimestamp(raw.creation_timestamp / 1000, UTC)
        return Version(name=raw.name, number=str(raw.version), created_at=created, tags=tags, metrics=metrics)
