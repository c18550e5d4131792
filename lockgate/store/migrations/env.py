"""How Alembic runs a revision: on the connection that lockgate.store.database opened, inside its transaction."""

from __future__ import annotations

from alembic import context

from lockgate.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
context.run_migrations()
