"""examples with their review and their uses; whose feedback it is, and what ought to have been cited"""

import sqlalchemy as sa
from alembic import op

import services.database.tables

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feedback", sa.Column("key_id", sa.String(length=255), nullable=True))
    op.add_column("feedback", sa.Column("correct_file_id", sa.String(length=255), nullable=True))
    op.add_column("feedback", sa.Column("correct_quote", sa.Text(), nullable=True))
    op.create_index("ix_feedback_turn_key", "feedback", ["turn_id", "key_id"], unique=True)
    op.create_table(
        "examples",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=255), nullable=False),
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("prompt", sa.JSON(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("rejected", sa.Text(), nullable=True),
        sa.Column("label", sa.Boolean(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("turn_id", sa.String(length=255), nullable=True),
        sa.Column("feedback_id", sa.String(length=255), nullable=True),
        sa.Column("reviewed_by", sa.String(length=255), nullable=True),
        sa.Column("reviewed_at", services.database.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"]),
        sa.ForeignKeyConstraint(["feedback_id"], ["feedback.id"]),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_examples_workspace_status_created", "examples", ["workspace_id", "status", "created_at"])
    for column in ("turn_id", "feedback_id", "workspace_id"):
        op.create_index(f"ix_examples_{column}", "examples", [column])
    op.create_table(
        "example_uses",
        sa.Column("file_id", sa.String(length=255), nullable=False),
        sa.Column("example_id", sa.String(length=255), nullable=False),
        sa.Column("turn_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", services.database.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"]),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("file_id", "example_id"),
    )
    for column in ("example_id", "turn_id", "workspace_id"):
        op.create_index(f"ix_example_uses_{column}", "example_uses", [column])


def downgrade() -> None:
    op.drop_table("example_uses")
    op.drop_table("examples")
    op.drop_index("ix_feedback_turn_key", "feedback")
    for column in ("correct_quote", "correct_file_id", "key_id"):
        op.drop_column("feedback", column)
