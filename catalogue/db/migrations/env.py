"""Runs migrations on the connection that ``catalogue.db.engine.migrate`` hands over, inside its one transaction."""

from __future__ import annotations

from alembic import context

from catalogue.db.engine import VERSION_TABLE
from catalogue.db.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
context.run_migrations()
