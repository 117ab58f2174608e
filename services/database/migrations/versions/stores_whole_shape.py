"""OpenAI's whole shape of stores: expiry, metadata, chunking of single files, batches"""

import sqlalchemy as sa
from alembic import op

import services.database.tables

revision = "stores"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = services.database.tables.UtcDateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.add_column(sa.Column("expires_at", MOMENT, nullable=True))

    with op.batch_alter_table("stores", schema=None) as batch_op:
        batch_op.add_column(sa.Column("description", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("metadata", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("expires_days", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("last_active_at", MOMENT, nullable=False, server_default="1970-01-01 00:00:00"))
    op.execute("UPDATE stores SET last_active_at = created_at")

    with op.batch_alter_table("store_files", schema=None) as batch_op:
        batch_op.add_column(sa.Column("error_code", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("attributes_changed_at", MOMENT, nullable=True))
        batch_op.add_column(sa.Column("chunking", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("chunked", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("job_id", sa.String(length=255), nullable=True))

    op.create_table(
        "file_batches",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("store_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("cancelled_at", MOMENT, nullable=True),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"]),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("file_batches", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_file_batches_store_id"), ["store_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_file_batches_workspace_id"), ["workspace_id"], unique=False)

    op.create_table(
        "file_batch_entries",
        sa.Column("batch_id", sa.String(length=255), nullable=False),
        sa.Column("file_id", sa.String(length=255), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["file_batches.id"]),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"]),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("batch_id", "file_id"),
    )
    with op.batch_alter_table("file_batch_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_file_batch_entries_workspace_id"), ["workspace_id"], unique=False)


def downgrade() -> None:
    op.drop_table("file_batch_entries")
    op.drop_table("file_batches")
    for column in ("job_id", "chunked", "chunking", "attributes_changed_at", "error_code"):
        op.drop_column("store_files", column)
    for column in ("last_active_at", "expires_days", "metadata", "description"):
        op.drop_column("stores", column)
    op.drop_column("files", "expires_at")
