"""alembic's entry: run the migrations on the engine that `migrate` hands over, or on the configured URL."""

from __future__ import annotations

from alembic import context

from services.database.engine import open_engine
from services.database.tables import Base

engine = context.config.attributes.get("engine") or open_engine(context.config.get_main_option("sqlalchemy.url") or "")
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
