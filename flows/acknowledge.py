"""acknowledge: somebody has an incident in hand, so its messages aren't repeated. It decides and undoes nothing."""

from prefect import flow
from pydantic import Field

from firebreak.blocks.store.approvals import UNIDENTIFIED
from firebreak.blocks.store.approvers import NAME
from firebreak.flows.incident_page import publish
from firebreak.flows.shared import open_store


@flow(name="acknowledge")
def acknowledge(
    incident_id: int,
    name: str = Field(pattern=NAME, description="who has it in hand; kept as typed"),
    comment: str = Field(default="", max_length=500, description="kept in the timeline"),
) -> str:
    """Stop the repeats of what was told so far; should it get graver, that is told anew. Errors: UnknownIncident."""
    store = open_store()
    incident = store.incidents.get(incident_id)
    if incident.closed:
        return f"incident {incident_id} is {incident.state}: nothing is repeated"
    store.incidents.note(incident_id, "acknowledged", f"{name} {UNIDENTIFIED}", why=comment)
    publish(store, incident_id)
    return f"incident {incident_id}: {name} has it in hand; messages about it aren't repeated"
