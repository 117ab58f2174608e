"""alembic's entry: run the migrations on the engine that `migrate` hands over, or on the configured URL.

All of them are one transaction, which one process at a time is in: a start that is cut short leaves the tables as they
were, and of two starts the second finds the work done.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from services.database.engine import open_engine
from services.database.tables import Base

WAIT_MS = 600_000
LOCK = 7_261_846_011  # any number that nothing else locks in this database


def enter_alone(connection: Connection) -> None:
    """Wait for the migrations of another process to end; hold others off until this transaction does."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA busy_timeout={WAIT_MS}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's driver begins none before a CREATE or ALTER
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


engine = context.config.attributes.get("engine") or open_engine(context.config.get_main_option("sqlalchemy.url") or "")
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        enter_alone(connection)
        context.run_migrations()
engine.dispose()
