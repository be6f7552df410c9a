"""Block: where the incident store is."""

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from firebreak.blocks.store import Store


class IncidentStore(Block):
    """The incident store's address: a SQLite file (default) or PostgreSQL."""

    _block_type_name = "Incident Store"
    _block_type_slug = "incident-store"
    _description = "Firebreak's incident store: SQLite file or PostgreSQL URL."

    url: SecretStr = Field(
        description="sqlite:////absolute/path.db or postgresql+psycopg://user:password@host/name; kept secret"
    )

    def open(self) -> Store:
        """Connect and migrate. Errors: StoreMisconfigured, StoreUnavailable."""
        return Store(self.url.get_secret_value())
