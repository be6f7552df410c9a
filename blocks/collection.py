"""Every block type of Firebreak: what Prefect imports so that a block can be loaded or registered by its name."""

from firebreak.blocks.guard import Guard
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.model_endpoint import ModelEndpoint
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.stop_workflow import StopWorkflow
from firebreak.blocks.workflow_controls import WorkflowControls

__all__ = [
    "Guard",
    "IncidentStore",
    "InteractionLog",
    "ModelEndpoint",
    "NotifyTeam",
    "QuarantineActor",
    "StopWorkflow",
    "WorkflowControls",
]
