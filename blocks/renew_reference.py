"""Block: after a promotion, compare a dataset's windows with today's records instead of yesterday's."""

from typing import TYPE_CHECKING, Any, ClassVar

from prefect.blocks.core import Block

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.parquet import parquet_of
from firebreak.blocks.registry_errors import RegistryError
from firebreak.blocks.store import Excluded, Incident, ReferenceVersion, Store
from firebreak.blocks.store.ledger import Step
from firebreak.detectors.drift.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd


class RenewReference(Action):
    """Put a new version of the reference in force: the newest records, as the promoted model would have labelled them.

    A reference with the former model's predictions would make the new model itself look like drift.
    """

    _block_type_name = "Renew Reference"
    _block_type_slug = "renew-reference"
    _description = "Firebreak action: a new drift reference from a dataset's newest records; the former one is kept."

    repeatable: ClassVar[bool] = True
    remedy: ClassVar[bool] = True

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """``parameters``: dataset, reason, version (the model that labels; none: labels stay). A fixed one stays."""
        dataset = str(parameters.get("dataset", incident.actor))
        if self.dataset(dataset).definition().reference.renew == "fixed":
            return LeftOut(why=f"the reference of dataset {dataset} is fixed (its spec says so)")
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
        now = _in_force(store, step.target)
        return {"version": now.version if now else None, "sha256": now.sha256 if now else None}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        """Errors: ActionError (too few records, no registry or no such model version in it)."""
        try:
            source = self.dataset(step.target)
            spec = source.definition()
            table = newest(source.frame(), spec, store.excluded(spec.workflow))
            if version := step.parameters.get("version"):
                table = relabelled(table, spec, self.model(source, str(version)), version)
            store.drift.renew(step.target, parquet_of(table), len(table), "retrain", self._why(incident, step))
        except (ValueError, OSError, RegistryError) as error:
            raise ActionError(f"reference of {step.target}: {error}") from error

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        """The former version's bytes as a new version; nothing when somebody has renewed it since."""
        mine, version = self._mine(store, incident, step), former.get("version")
        was = None if version is None else store.drift.reference(step.target, version)
        if mine is None or mine != _in_force(store, step.target) or was is None:
            return
        why = f"incident {incident.id}: back to version {was.version}"
        store.drift.renew(step.target, was.parquet, was.rows, "release", why)

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        now, mine = _in_force(store, step.target), self._mine(store, incident, step)
        stands = mine is not None and mine == now
        first = former.get("version") is None  # there was none before: nothing to go back to
        return Probe(done=not stands or first, seen={"reference": now.version if now else None})

    def dataset(self, name: str) -> MonitoredDataset:
        """The block ``monitored-dataset/<name>``. Errors: ValueError (there is none)."""
        return load_dataset(name)

    def model(self, dataset: MonitoredDataset, version: str) -> Any:
        """A version of the dataset's model. Errors: ActionError (its block names no registry), RegistryError."""
        if dataset.registry is None:
            name = dataset.definition().dataset
            raise ActionError(f"dataset {name} names no model registry; set `registry` on its block")
        return dataset.registry.load_model(dataset.registry.get(version))

    def _why(self, incident: Incident, step: Step) -> str:
        digest = step.undo_of or step.digest(incident.id)
        return f"incident {incident.id}: {step.parameters['reason']} (step {digest[:16]})"

    def _mine(self, store: Store, incident: Incident, step: Step) -> ReferenceVersion | None:
        """The newest version that this step made."""
        made = [r for r in store.drift.references(step.target) if r.why == self._why(incident, step)]
        return made[-1] if made else None


def load_dataset(name: str) -> MonitoredDataset:
    """The block ``monitored-dataset/<name>``. Errors: ValueError (there is none)."""
    block = Block.load(f"monitored-dataset/{name}")
    assert isinstance(block, MonitoredDataset), "its type's slug says so"
    return block


def _in_force(store: Store, dataset: str) -> ReferenceVersion | None:
    kept = store.drift.references(dataset)
    return kept[-1] if kept else None


def accused(frame: "pd.DataFrame", spec: DatasetSpec, excluded: Excluded) -> "pd.Series[bool]":
    """Which rows nothing may learn from: their record is accused, or who sent them is or was held."""
    rows = frame[spec.id].isin(excluded.record_ids)
    for name, held in (("user", excluded.users), ("token_id", excluded.tokens)):
        if name in frame:
            rows |= frame[name].isin(held)
    return rows


def newest(frame: "pd.DataFrame", spec: DatasetSpec, excluded: Excluded) -> "pd.DataFrame":
    """The newest ``reference.rows`` rows that nothing accuses. Errors: ValueError (fewer than minimum_sample)."""
    table = frame[~accused(frame, spec, excluded)].tail(spec.reference.rows).reset_index(drop=True)
    if len(table) < spec.minimum_sample:
        raise ValueError(f"{len(table)} rows can be used, minimum_sample is {spec.minimum_sample}; wait for more")
    table.attrs = {name: frame.attrs[name] for name in ("extra",) if name in frame.attrs}
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
