"""A quality run is a page of the catalogue: it names no file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not as a batch: SQLite would make the table again, without the triggers that keep its rows as they are
    op.drop_column("quality_run", "report_path")


def downgrade() -> None:
    op.add_column("quality_run", sa.Column("report_path", sa.String(length=1000), nullable=True))
