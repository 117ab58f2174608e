"""sources, their documents, and the runs of schedules"""

import sqlalchemy as sa
from alembic import op

import services.database.tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.add_column(sa.Column("url", sa.String(length=2048), nullable=True))

    op.create_table(
        "sources",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("store_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("location", sa.String(length=2048), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("cron", sa.String(length=255), nullable=True),
        sa.Column("time_zone", sa.String(length=255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_due_at", services.database.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("job_id", sa.String(length=255), nullable=True),
        sa.Column("last_synced_at", services.database.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_report", sa.JSON(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", services.database.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"]),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("sources", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sources_next_due_at"), ["next_due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_sources_store_id"), ["store_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_sources_workspace_id"), ["workspace_id"], unique=False)

    op.create_table(
        "source_documents",
        sa.Column("source_id", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=1024), nullable=False),
        sa.Column("sha256", sa.String(length=255), nullable=False),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.String(length=255), nullable=False),
        sa.Column("former_file_id", sa.String(length=255), nullable=True),
        sa.Column("seen_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("changed_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"]),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"]),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("source_id", "key"),
    )
    with op.batch_alter_table("source_documents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_source_documents_file_id"), ["file_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_source_documents_workspace_id"), ["workspace_id"], unique=False)

    op.create_table(
        "schedule_runs",
        sa.Column("schedule_id", sa.String(length=255), nullable=False),
        sa.Column("due_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("schedule_id", "due_at"),
    )
    with op.batch_alter_table("schedule_runs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_schedule_runs_workspace_id"), ["workspace_id"], unique=False)


def downgrade() -> None:
    op.drop_table("schedule_runs")
    op.drop_table("source_documents")
    op.drop_table("sources")
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.drop_column("url")
