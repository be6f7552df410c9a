"""Alembic's entry: the connection comes from `database._migrate`, which holds the transaction."""

from alembic import context

from firebreak.blocks.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
