"""tuned weights of the embedder"""

import sqlalchemy as sa
from alembic import op

import services.database.tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tuned_embedders",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("base", sa.String(length=1024), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=True),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=255), nullable=False),
        sa.Column("created_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_tuned_embedders_workspace_id", "tuned_embedders", ["workspace_id"])


def downgrade() -> None:
    op.drop_table("tuned_embedders")
