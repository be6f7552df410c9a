"""renew-reference: a person puts a new reference of a dataset in force, from its newest rows. Run it from the UI."""

from prefect import flow
from pydantic import Field

from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.parquet import parquet_of
from firebreak.blocks.renew_reference import newest
from firebreak.flows.drift_page import publish_dataset
from firebreak.flows.shared import load_block, open_store


class ReferenceRefused(Exception):
    """The reference stays as it is; the message says why, and what to do."""


@flow(name="renew-reference")
def renew_reference(
    dataset: str = Field(default="support-tickets", description="the document's name, of the block monitored-dataset"),
    name: str = Field(pattern=r"^[\w .,'@+\-]{1,80}$", description="who renews; kept as typed"),
    reason: str = Field(min_length=1, max_length=500, description="why; kept with the reference"),
) -> str:
    """The newest rows, without what attackers sent, become the reference. Windows are compared with it from now on.

    Errors: ReferenceRefused (fixed by its spec, or too few rows).
    """
    store, block = open_store(), load_block(MonitoredDataset, dataset)
    spec = block.definition()
    if spec.reference.renew == "fixed":
        raise ReferenceRefused(f"{spec.dataset}: its spec says that the reference is fixed; set renew: last-approved")
    try:
        frame = newest(block.frame(), spec, store.excluded(spec.workflow))
    except ValueError as error:
        raise ReferenceRefused(f"{spec.dataset}: {error}") from error
    reference = store.drift.renew(spec.dataset, parquet_of(frame), len(frame), name, reason)
    publish_dataset(store, spec)
    return f"{spec.dataset}: reference version {reference.version}, {len(frame)} rows, is in force"
