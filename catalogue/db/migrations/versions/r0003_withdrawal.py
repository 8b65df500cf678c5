"""A published delivery can be withdrawn: one more state, and builds that take deliveries out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = (
    "announced", "pulled", "staged", "waiting", "approved", "published", "incomplete", "rejected", "duplicate",
    "superseded",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("build_delivery", sa.Column("withdrawn", sa.Boolean(), nullable=False, server_default=sa.false()))
    _allow(*BEFORE, "withdrawn")


def downgrade() -> None:
    _allow(*BEFORE)
    op.drop_column("build_delivery", "withdrawn")


def _allow(*states: str) -> None:
    """The states that an event may have. SQLite makes the table anew for that, and forgets its triggers."""
    with op.batch_alter_table("event") as batch:
        batch.drop_constraint(op.f("ck_event_state"), type_="check")
        batch.create_check_constraint(op.f("ck_event_state"), f"state in ({', '.join(map(repr, states))})")
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(
                f"create trigger event_refuses_{verb} before {verb} on event "
                "begin select raise(abort, 'event is append-only'); end"
            )
