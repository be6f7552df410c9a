"""Every block type of Firebreak: what Prefect imports so that a block can be loaded or registered by its name."""

from firebreak.blocks.block_key import BlockKey
from firebreak.blocks.guard import Guard
from firebreak.blocks.guard_model import GuardModel
from firebreak.blocks.http_action import HttpAction
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.interaction_log import InteractionLog
from firebreak.blocks.model_endpoint import ModelEndpoint
from firebreak.blocks.model_registry import ModelRegistry
from firebreak.blocks.monitored_dataset import MonitoredDataset
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.promote_model import PromoteModel
from firebreak.blocks.quarantine_actor import QuarantineActor
from firebreak.blocks.renew_reference import RenewReference
from firebreak.blocks.retraining_service import RetrainingService
from firebreak.blocks.revoke_token import RevokeToken
from firebreak.blocks.roll_back_model import RollBackModel
from firebreak.blocks.start_retraining import StartRetraining
from firebreak.blocks.stop_dag import StopDag
from firebreak.blocks.stop_workflow import StopWorkflow
from firebreak.blocks.workflow_controls import WorkflowControls

__all__ = [
    "BlockKey",
    "Guard",
    "GuardModel",
    "HttpAction",
    "IncidentStore",
    "InteractionLog",
    "ModelEndpoint",
    "ModelRegistry",
    "MonitoredDataset",
    "NotifyTeam",
    "PromoteModel",
    "QuarantineActor",
    "RenewReference",
    "RetrainingService",
    "RevokeToken",
    "RollBackModel",
    "StartRetraining",
    "StopDag",
    "StopWorkflow",
    "WorkflowControls",
]
