"""what a collection holds, why one cannot be read, jobs that pause"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "collection_files",
        sa.Column("collection_id", sa.String(length=255), nullable=False),
        sa.Column("file_id", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("collection_id", "file_id"),
    )
    op.create_index("ix_collection_files_workspace_id", "collection_files", ["workspace_id"])
    op.add_column("collections", sa.Column("problem", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("pause_requested", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("jobs", "pause_requested")
    op.drop_column("collections", "problem")
    op.drop_table("collection_files")
