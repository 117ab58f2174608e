"""lineage and pins of versions, the history of what was live, canaries, schedules of retraining"""

import sqlalchemy as sa
from alembic import op

import services.database.tables

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

MOMENT = services.database.tables.UtcDateTime(timezone=True)
BEFORE = "It was live when the history began."


def upgrade() -> None:
    op.add_column("versions", sa.Column("lineage", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("versions", sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("schedule_runs", sa.Column("outcome", sa.Text(), nullable=True))
    _publications()
    _canaries()
    _training_schedules()


def _publications() -> None:
    op.create_table(
        "publications",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("event", sa.String(length=255), nullable=False),
        sa.Column("version_id", sa.String(length=255), nullable=True),
        sa.Column("from_version_id", sa.String(length=255), nullable=True),
        sa.Column("why", sa.String(length=255), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=True),
        sa.Column("overrides", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_publications_workspace_id", "publications", ["workspace_id"])
    fields = "event, version_id, from_version_id, why, overrides, reason, figures, created_at, workspace_id"
    for version, former in (("previous_version_id", "NULL"), ("version_id", "previous_version_id")):
        op.execute(
            f"INSERT INTO publications ({fields}) SELECT 'moved', {version}, {former}, 'person', FALSE, '{BEFORE}', "
            f"'{{}}', moved_at, workspace_id FROM live_pointers WHERE {version} IS NOT NULL"
        )


def _canaries() -> None:
    op.create_table(
        "canaries",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("version_id", sa.String(length=255), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("margin", sa.Float(), nullable=False),
        sa.Column("min_requests", sa.Integer(), nullable=False),
        sa.Column("promote_after", sa.Integer(), nullable=True),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("live_answers", sa.Integer(), nullable=False),
        sa.Column("live_errors", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_canaries_workspace_id", "canaries", ["workspace_id"])


def _training_schedules() -> None:
    op.create_table(
        "training_schedules",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("cron", sa.String(length=255), nullable=False),
        sa.Column("time_zone", sa.String(length=255), nullable=False),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("training_file", sa.String(length=255), nullable=True),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.Column("suffix", sa.String(length=255), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_due_at", MOMENT, nullable=True),
        sa.Column("last_job_id", sa.String(length=255), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.Column("workspace_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_training_schedules_workspace_id", "training_schedules", ["workspace_id"])
    op.create_index("ix_training_schedules_next_due_at", "training_schedules", ["next_due_at"])


def downgrade() -> None:
    for table in ("training_schedules", "canaries", "publications"):
        op.drop_table(table)
    op.drop_column("schedule_runs", "outcome")
    op.drop_column("versions", "pinned")
    op.drop_column("versions", "lineage")
