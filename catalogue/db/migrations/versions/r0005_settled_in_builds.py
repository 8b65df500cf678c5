"""Builds settle reversals: the books of a file that was staged before keep their settled rows, new ones have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("book") as batch:
        batch.alter_column("rows_settled", existing_type=sa.BigInteger(), nullable=True)


def downgrade() -> None:
    op.execute("update book set rows_settled = 0 where rows_settled is null")
    with op.batch_alter_table("book") as batch:
        batch.alter_column("rows_settled", existing_type=sa.BigInteger(), nullable=False)
