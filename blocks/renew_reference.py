"""Block: after a promotion, compare a dataset's windows with today's records instead of yesterday's."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from prefect.blocks.core import Block

from firebreak.blocks.action import Action, ActionError, Probe
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.registry_errors import RegistryError
from firebreak.blocks.store import Excluded, Incident, Reference, Store
from firebreak.blocks.store.ledger import Step
from firebreak.detectors.drift.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

DOCUMENT = "firebreak"
B = TypeVar("B", bound=Block)


class RenewReference(Action):
    """Put a new version of the reference in force: the newest records, as the promoted model would have labelled them.

    A reference with the former model's predictions would make the new model itself look like drift.
    """

    _block_type_name = "Renew Reference"
    _block_type_slug = "renew-reference"
    _description = "Firebreak action: a new drift reference from a dataset's newest records; the former one is kept."

    remedy: ClassVar[bool] = True

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | None:
        """``parameters``: dataset, reason, version (the model that labels; none: labels stay). None: it is fixed."""
        dataset = str(parameters.get("dataset", incident.actor))
        if self.dataset(dataset).definition().reference.renew == "fixed":
            return None
        version = parameters.get("version")
        return Step(
            action=self.get_block_type_slug(),
            target=dataset,
            parameters={"dataset": dataset, "version": version, "reason": str(parameters.get("reason", ""))[:200]},
            title=f"Renew the drift reference of {dataset} with its newest records"
            + (f", labelled by model version {version}" if version else ""),
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        mine = self._mine(store, incident, step)
        return Probe(done=mine is not None, seen={"reference": mine.version if mine else None})

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        now = store.drift.reference(step.target)
        return {"version": now.version if now else None, "sha256": now.sha256 if now else None}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        """Errors: ActionError (too few records, no such model version)."""
        try:
            source = self.dataset(step.target)
            spec = source.definition()
            table = newest(source.frame(), spec, store.excluded(spec.workflow))
            if step.parameters.get("version"):
                table = relabelled(table, spec, self.model(str(step.parameters["version"])), step.parameters["version"])
            data = BytesIO()
            table.to_parquet(data, index=False)
            store.drift.renew(step.target, data.getvalue(), len(table), "retrain", self._why(incident, step))
        except (ValueError, OSError, RegistryError) as error:
            raise ActionError(f"reference of {step.target}: {error}") from error

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        """The former version's bytes as a new version; nothing when somebody has renewed it since."""
        now, mine = store.drift.reference(step.target), self._mine(store, incident, step)
        was = next((r for r in store.drift.references(step.target) if r.version == former.get("version")), None)
        if now is None or mine is None or now.version != mine.version or was is None:
            return
        why = f"incident {incident.id}: back to version {was.version}"
        store.drift.renew(step.target, was.parquet, was.rows, "release", why)

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        now, mine = store.drift.reference(step.target), self._mine(store, incident, step)
        stands = now is not None and mine is not None and now.version == mine.version
        first = former.get("version") is None  # there was none before: nothing to go back to
        return Probe(done=not stands or first, seen={"reference": now.version if now else None})

    def dataset(self, name: str) -> MonitoredDataset:
        """The block ``monitored-dataset/<name>``. Errors: ValueError."""
        return self._load(MonitoredDataset, f"monitored-dataset/{name}")

    def model(self, version: str) -> Any:
        """A version of the block ``model-registry/firebreak``. Errors: RegistryError."""
        registry = self._load(ModelRegistry, f"model-registry/{DOCUMENT}")
        return registry.load_model(registry.get(version))

    def _load(self, kind: type[B], name: str) -> B:
        block = Block.load(name)
        if not isinstance(block, kind):
            raise ActionError(f"block {name} is a {type(block).__name__}, not a {kind.__name__}")
        return block

    def _why(self, incident: Incident, step: Step) -> str:
        digest = step.undo_of or step.digest(incident.id)
        return f"incident {incident.id}: {step.parameters['reason']} (step {digest[:16]})"

    def _mine(self, store: Store, incident: Incident, step: Step) -> Reference | None:
        """The newest version that this step made."""
        made = [r for r in store.drift.references(step.target) if r.why == self._why(incident, step)]
        return made[-1] if made else None


def newest(frame: "pd.DataFrame", spec: DatasetSpec, excluded: Excluded) -> "pd.DataFrame":
    """The newest ``reference.rows`` rows that nothing accuses. Errors: ValueError (fewer than minimum_sample)."""
    accused = frame[spec.id].isin(excluded.record_ids)
    for name, held in (("user", excluded.users), ("token_id", excluded.tokens)):
        if name in frame:
            accused |= frame[name].isin(held)
    table = frame[~accused].tail(spec.reference.rows).reset_index(drop=True)
    if len(table) < spec.minimum_sample:
        raise ValueError(f"{len(table)} rows can be used, minimum_sample is {spec.minimum_sample}; wait for more")
    table.attrs = {}
    return table


def relabelled(frame: "pd.DataFrame", spec: DatasetSpec, model: Any, version: str) -> "pd.DataFrame":
    """The rows as ``model`` would have labelled them: prediction, confidence and version. Rows without text stay."""
    if spec.text is None or spec.prediction is None or spec.text not in frame or spec.prediction not in frame:
        return frame
    told = frame[spec.text].map(lambda text: isinstance(text, str) and bool(text.strip())).astype(bool)
    texts = frame.loc[told, spec.text].tolist()
    if not texts:
        return frame
    frame = frame.copy()
    frame.loc[told, spec.prediction] = [str(label) for label in model.predict(texts)]
    if "router_confidence" in frame and hasattr(model, "predict_proba"):
        frame.loc[told, "router_confidence"] = model.predict_proba(texts).max(axis=1).round(4)
    if "router_version" in frame:
        frame.loc[told, "router_version"] = str(version)
    return frame
