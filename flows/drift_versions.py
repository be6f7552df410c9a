"""What the champion and the version before it predict on a window: the cause of a drift is read from the two."""

from typing import TYPE_CHECKING

from firebreak.blocks.model_registry import ModelRegistry
from firebreak.detectors.drift.spec import DatasetSpec
from firebreak.flows.router import predict
from firebreak.flows.shared import load_block

if TYPE_CHECKING:
    import pandas as pd

    from firebreak.detectors.drift.cause import Versions


def versions_on(spec: DatasetSpec, window: "pd.DataFrame") -> "Versions | None":
    """None where the dataset has no text or prediction, or nothing is registered. Errors: RegistryError."""
    from firebreak.detectors.drift.cause import Versions

    if spec.text is None or spec.prediction is None or spec.text not in window:
        return None
    try:
        registry = load_block(ModelRegistry)
    except ValueError:
        return None  # no registry: the drift is found all the same, its cause with less to go by
    champion = registry.champion()
    if champion is None:
        return None
    former = registry.former(champion)
    texts = [str(text) for text in window[spec.text].fillna("")]
    return Versions(
        champion=champion.number,
        former=former.number if former else None,
        champion_predictions=[label for label, _ in predict(registry.load_model(champion), texts)],
        former_predictions=[label for label, _ in predict(registry.load_model(former), texts)] if former else None,
    )
