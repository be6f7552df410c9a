"""What keeps a retraining from its end.

RetrainingError
├── RetrainingRefused   it can't be done as things are (data, trainer, champion): a person must mend it
├── RetrainingFailed    it was tried and did not work: tried again, a few times
└── NotYet              the incident is in other hands just now: `reconcile` tries later
"""


class RetrainingError(Exception):
    """Base of what a retraining raises. The champion is untouched."""


class RetrainingRefused(RetrainingError):
    """Trying again changes nothing; the message says what to mend."""


class RetrainingFailed(RetrainingError):
    """It may work the next time."""


class NotYet(RetrainingError):
    """Everything that was made is kept; only the incident has to be free."""
