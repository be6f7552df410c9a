"""The incident store: findings, incidents, containment, leases, the ledger of actions, approvals, evidence.

It is the truth; events are only signals. Open it with ``IncidentStore.load("firebreak").open()``.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from firebreak.blocks.store import leases, reporting
from firebreak.blocks.store.alerts import Alerts
from firebreak.blocks.store.allowed import Allowed
from firebreak.blocks.store.approvals import Approvals
from firebreak.blocks.store.approvers import Approvers
from firebreak.blocks.store.automation import Automation
from firebreak.blocks.store.correlations import Correlations
from firebreak.blocks.store.database import Database, connect, utc_now
from firebreak.blocks.store.drift import Drift, JudgedWindow, Reference, ReferenceTooLarge, ReferenceVersion, Renewal
from firebreak.blocks.store.errors import (
    ApproverError,
    IllegalTransition,
    IncidentMoved,
    LeaseLost,
    PlanChanged,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    UnknownIncident,
)
from firebreak.blocks.store.excluded import Excluded, excluded
from firebreak.blocks.store.health import Health, Overdue
from firebreak.blocks.store.holds import Hold, Holds
from firebreak.blocks.store.incidents import Incident, Incidents
from firebreak.blocks.store.labels import Accused, Label, Labels
from firebreak.blocks.store.leases import Lease
from firebreak.blocks.store.ledger import Ledger
from firebreak.blocks.store.registers import Registers
from firebreak.blocks.store.reporting import Aside, Batch, Report
from firebreak.blocks.store.retrainings import Retraining, Retrainings, RetrainingState
from firebreak.blocks.store.states import State
from firebreak.blocks.store.usage import Counted, JudgedUse, Usage
from firebreak.blocks.store.watch import RunCalled, Watch
from firebreak.detectors.facts import Facts


class Store:
    """One incident store. Each part is a small object; what detectors and the guard need stands here."""

    def __init__(self, url: str, clock: Callable[[], datetime] = utc_now) -> None:
        """Errors: StoreMisconfigured, StoreUnavailable."""
        self._db = Database(connect(url), clock)
        self.incidents = Incidents(self._db)
        self.ledger = Ledger(self._db)
        self.approvals = Approvals(self._db)
        self.approvers = Approvers(self._db)
        self.holds = Holds(self._db)
        self.health = Health(self._db)
        self.registers = Registers(self._db)
        self.drift = Drift(self._db)
        self.labels = Labels(self._db)
        self.retrainings = Retrainings(self._db)
        self.watch = Watch(self._db)
        self.allowed = Allowed(self._db)
        self.usage = Usage(self._db)
        self.correlations = Correlations(self._db)
        self.automation = Automation(self._db)
        self.alerts = Alerts(self._db)

    @property
    def now(self) -> datetime:
        return self._db.clock()

    def report(self, batch: Batch, seen_by: str) -> Report:
        """Write what a pass found, in one transaction. Errors: LeaseLost, StoreUnavailable (nothing written)."""
        return reporting.report(self._db, batch, seen_by)

    def standing(self, workflow: str, user: str | None, token_id: str | None) -> list[Hold]:
        """What stands against a call; an empty list means go on."""
        return self.holds.against(workflow, user, token_id)

    def facts(self) -> Facts:
        return self.registers.facts()

    def canary(self, workflow: str) -> str:
        return self.registers.canary(workflow)

    def renew_canary(self, workflow: str) -> str:
        """A new canary for the workflow's system prompt; the old ones are searched for as well."""
        return self.registers.renew_canary(workflow)

    def position(self, source: str) -> dict[str, Any] | None:
        return self.registers.position(source)

    def overdue(self) -> list[Overdue]:
        return self.health.overdue()

    def excluded(self, workflow: str) -> Excluded:
        """Whose records and which ones may not become training data or a reference."""
        return excluded(self._db, workflow)

    def lease(self, name: str, owner: str, wait: float = 0) -> AbstractContextManager[Lease | None]:
        """Work that only one may do at a time; None when somebody else still has it after ``wait`` seconds."""
        return leases.hold(self._db, name, owner, wait)

    def holder(self, name: str) -> str | None:
        return leases.holder(self._db, name)


__all__ = [
    "Accused",
    "ApproverError",
    "Aside",
    "Batch",
    "Counted",
    "Excluded",
    "Hold",
    "IllegalTransition",
    "Incident",
    "IncidentMoved",
    "JudgedUse",
    "JudgedWindow",
    "Label",
    "Lease",
    "LeaseLost",
    "Overdue",
    "PlanChanged",
    "Reference",
    "ReferenceTooLarge",
    "ReferenceVersion",
    "Renewal",
    "Report",
    "Retraining",
    "RetrainingState",
    "RunCalled",
    "State",
    "Store",
    "StoreError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "UnknownIncident",
    "Usage",
]
