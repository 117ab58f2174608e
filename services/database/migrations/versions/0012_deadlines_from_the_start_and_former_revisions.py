"""a job's deadline counts from its start; the revision of a file that answers until the next is indexed; jobs without
texts that PostgreSQL cannot read"""

import sqlalchemy as sa
from alembic import op

import services.database.tables
from services.kit.texts import read_stored_json

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MOMENT = services.database.tables.UtcDateTime(timezone=True)
JOBS = sa.table(
    "jobs",
    sa.column("id", sa.String),
    sa.column("status", sa.String),
    sa.column("created_at", MOMENT),
    sa.column("deadline_at", MOMENT),
    sa.column("deadline_seconds", sa.Float),
    sa.column("request", sa.JSON),
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("deadline_seconds", sa.Float(), nullable=True))
    op.add_column("store_files", sa.Column("former_revision", sa.Integer(), nullable=True))
    _count_from_the_start()
    _mend_requests()


def _count_from_the_start() -> None:
    """Jobs that wait get their whole time once they are begun; one that runs keeps its end."""
    connection = op.get_bind()
    unfinished = JOBS.c.status.in_(("queued", "running", "paused")), JOBS.c.deadline_at.is_not(None)
    for job in connection.execute(sa.select(JOBS).where(*unfinished)).all():
        values = {"deadline_seconds": (job.deadline_at - job.created_at).total_seconds()}
        values |= {} if job.status == "running" else {"deadline_at": None}
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job.id).values(**values))


def _mend_requests() -> None:
    """Half of a surrogate pair or NUL in one job's metadata makes PostgreSQL fail at `->>` over all jobs."""
    connection = op.get_bind()
    stored = sa.cast(JOBS.c.request, sa.Text)
    escaped = stored.contains("\\ud", autoescape=True) | stored.contains("\\u0000", autoescape=True)
    for job in connection.execute(sa.select(JOBS.c.id, stored.label("request")).where(escaped)).all():
        values = {"request": read_stored_json(job.request)}
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job.id).values(**values))


def downgrade() -> None:
    op.drop_column("store_files", "former_revision")
    op.drop_column("jobs", "deadline_seconds")
