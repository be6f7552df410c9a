"""What the model registry raises. No message holds a password.

RegistryError
├── RegistryUnreachable      the server or its database gives no answer: try again
├── RegistryMisconfigured    the address or the credentials are wrong: a person must mend the block
├── RegistryRefused          MLflow understood and said no
├── UnknownVersion           there is no such model, version or file
├── RegistryChanged          the champion isn't the version that was expected: nothing was moved
└── ModelRefused             the file isn't a skops file, or holds a type that isn't trusted
"""


class RegistryError(Exception):
    """Base of everything the model registry raises."""


class RegistryUnreachable(RegistryError):
    """No answer, or 'not now'."""


class RegistryMisconfigured(RegistryError):
    """The address leads nowhere useful, or the credentials are refused."""


class RegistryRefused(RegistryError):
    """MLflow understood and said no."""


class UnknownVersion(RegistryError):
    """There is no such model, version or file."""


class RegistryChanged(RegistryError):
    """Somebody else moved the champion: what was planned no longer fits."""


class ModelRefused(RegistryError):
    """A model file that isn't loaded, because loading it could do more than give a model."""
