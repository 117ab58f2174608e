"""what the Responses shape keeps of a turn"""

import sqlalchemy as sa
from alembic import op

revision = "responses"
down_revision = "stores"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("turns") as batch_op:
        batch_op.add_column(sa.Column("response", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("turns") as batch_op:
        batch_op.drop_column("response")
