"""which key is the first one; it may make workspaces"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEYS = sa.table(
    "api_keys",
    sa.column("id", sa.String),
    sa.column("workspace_id", sa.String),
    sa.column("name", sa.String),
    sa.column("scopes", sa.JSON),
    sa.column("is_first", sa.Boolean),
)
FIRST = sa.and_(KEYS.c.workspace_id == "default", KEYS.c.name == "first key")


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("is_first", sa.Boolean(), nullable=False, server_default=sa.false()))
    connection = op.get_bind()
    for key in connection.execute(sa.select(KEYS.c.id, KEYS.c.scopes).where(FIRST)).all():
        values = {"is_first": True, "scopes": [*key.scopes, "workspaces"]}
        connection.execute(sa.update(KEYS).where(KEYS.c.id == key.id).values(**values))


def downgrade() -> None:
    connection = op.get_bind()
    for key in connection.execute(sa.select(KEYS.c.id, KEYS.c.scopes)).all():
        scopes = [scope for scope in key.scopes if scope != "workspaces"]
        connection.execute(sa.update(KEYS).where(KEYS.c.id == key.id).values(scopes=scopes))
    op.drop_column("api_keys", "is_first")
