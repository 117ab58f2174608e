"""frozen data sets, and where the text in data sets and weights is from"""

import sqlalchemy as sa
from alembic import op

import services.database.tables

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "data_sets",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("use", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=255), nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", services.database.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "name", "version"),
        sa.UniqueConstraint("workspace_id", "name", "use", "sha256"),
    )
    op.create_index("ix_data_sets_workspace_id", "data_sets", ["workspace_id"])
    op.create_table(
        "text_origins",
        sa.Column("holder_id", sa.String(length=255), nullable=False),
        sa.Column("origin_id", sa.String(length=255), nullable=False),
        sa.Column("how", sa.String(length=255), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("holder_id", "origin_id", "how"),
    )
    op.create_index("ix_text_origins_origin_id", "text_origins", ["origin_id"])
    op.create_index("ix_text_origins_workspace_id", "text_origins", ["workspace_id"])


def downgrade() -> None:
    op.drop_table("text_origins")
    op.drop_table("data_sets")
