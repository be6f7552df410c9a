"""The cause of a window's drift: read from what the champion and the version before it predict on the window."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.store import LeaseLost, StoreUnavailable
from firebreak.detectors.drift.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

    from firebreak.detectors.drift.cause import CauseVerdict, Versions
    from firebreak.detectors.drift.quality import QualityFault
    from firebreak.detectors.drift.verdicts import WindowVerdict

Versioning = Callable[[DatasetSpec, "pd.DataFrame"], "Versions | None"]

logger = logging.getLogger("firebreak.drift")


def named_cause(
    spec: DatasetSpec,
    verdict: "WindowVerdict",
    faults: "Sequence[QualityFault]",
    reference: "pd.DataFrame",
    window: "pd.DataFrame",
    look: Versioning,
) -> "CauseVerdict":
    """Unclear, with the reason, where the versions can't be compared: drift is found whatever the registry does."""
    from firebreak.detectors.drift.cause import Cause, CauseVerdict, cause_of

    try:
        versions = look(spec, window)
    except (StoreUnavailable, LeaseLost):
        raise
    except Exception as error:  # noqa: BLE001 - a registry that is away must not keep the drift from being written
        logger.warning("dataset %s: versions can't be compared: %s", spec.dataset, error)
        told = f"the model's versions could not be compared ({type(error).__name__}): look at the registry"
        return CauseVerdict(cause=Cause.UNCLEAR, reasons=(told,), evidence={})
    return cause_of(spec, verdict, faults, reference, window, versions)


def versions_of(registry: ModelRegistry | None) -> Versioning:
    """What the champion and the version before it predict. None: nothing is registered, or there is no text."""

    def look(spec: DatasetSpec, window: "pd.DataFrame") -> "Versions | None":
        from firebreak.detectors.drift.cause import Versions

        if registry is None or spec.text is None or spec.prediction is None or spec.text not in window:
            return None
        champion = registry.champion()
        if champion is None:
            return None
        former = registry.former(champion)
        texts = [str(text) for text in window[spec.text].fillna("")]
        return Versions(
            champion=champion.number,
            former=former.number if former else None,
            champion_predictions=[str(label) for label in registry.load_model(champion).predict(texts)],
            former_predictions=[str(label) for label in registry.load_model(former).predict(texts)] if former else None,
        )

    return look
