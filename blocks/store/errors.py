"""What the store raises.

StoreError
├── StoreUnavailable       the database can't be reached or is locked for too long: try again
├── StoreMisconfigured     the URL or the schema is wrong: a person must mend it
├── LeaseLost              another holder has the work: stop touching it
├── UnknownIncident        no incident has this number
├── IllegalTransition      the table of states doesn't have this step
├── IncidentMoved          the incident isn't in the state any more that the step was meant for
├── PlanChanged            what would run isn't what was approved
└── ApproverError          this person can't be enrolled or revoked, or the key for the seeds is unusable
"""


class StoreError(Exception):
    """Base of everything the incident store raises."""


class StoreUnavailable(StoreError):
    """The database can't be reached, or stayed locked for 5 s."""


class StoreMisconfigured(StoreError):
    """The URL or the schema version is unusable."""


class LeaseLost(StoreError):
    """The lease ran out and somebody else has it."""


class UnknownIncident(StoreError):
    """No incident has this number."""


class IllegalTransition(StoreError):
    """The table of incident states has no such step."""


class IncidentMoved(StoreError):
    """Another moved the incident meanwhile: read it again."""


class PlanChanged(StoreError):
    """The plan's digest isn't the approved one."""


class ApproverError(StoreError):
    """This person can't be enrolled or revoked, or the key that the seeds are encrypted with is unusable."""
