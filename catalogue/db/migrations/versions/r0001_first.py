"""The first schema of the hub database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATE = (
    "state in ('announced', 'pulled', 'staged', 'waiting', 'approved', 'published', "
    "'incomplete', 'rejected', 'duplicate', 'superseded')"
)
APPEND_ONLY = ("event", "decision", "quality_run", "quality_result", "release", "release_delivery")


def upgrade() -> None:
    op.create_table(
        "build",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run", sa.String(length=300), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_build")),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=True),
        sa.CheckConstraint("decision in ('approve', 'reject')", name=op.f("ck_decision_decision")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
        sa.UniqueConstraint("subject", "who", "at", name=op.f("uq_decision_subject_who_at")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("period", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("contract_version", sa.Integer(), nullable=True),
        sa.Column("stage1_key", sa.String(length=200), nullable=True),
        sa.Column("manifest_sha256", sa.String(length=200), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("source", "period", "version", name=op.f("uq_delivery_source_period_version")),
    )
    op.create_table(
        "quality_run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.String(length=200), nullable=False),
        sa.Column("report_path", sa.String(length=1000), nullable=True),
        sa.Column("run", sa.String(length=300), nullable=True),
        sa.CheckConstraint(
            "verdict in ('passed', 'warning', 'critical', 'errored')", name=op.f("ck_quality_run_verdict")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_run")),
    )
    with op.batch_alter_table("quality_run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quality_run_run"), ["run"], unique=False)
        batch_op.create_index(batch_op.f("ix_quality_run_subject_id"), ["subject", "id"], unique=False)

    op.create_table(
        "registered_key",
        sa.Column("key_id", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("check_value", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_registered_key")),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("build", sa.String(length=200), nullable=False),
        sa.Column("tables", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint("build", name=op.f("uq_release_build")),
    )
    op.create_table(
        "rule_count",
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("table_name", sa.String(length=200), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("violated", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "table_name", "rule", name=op.f("pk_rule_count")),
    )
    op.create_table(
        "book",
        sa.Column("delivery_id", sa.String(length=200), nullable=False),
        sa.Column("table_name", sa.String(length=200), nullable=False),
        sa.Column("file", sa.String(length=200), nullable=False),
        sa.Column("rows_in", sa.BigInteger(), nullable=False),
        sa.Column("rows_published", sa.BigInteger(), nullable=False),
        sa.Column("rows_duplicate", sa.BigInteger(), nullable=False),
        sa.Column("rows_settled", sa.BigInteger(), nullable=False),
        sa.Column("rows_quarantined", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "rows_in >= 0 and rows_published >= 0 and rows_duplicate >= 0 and rows_settled >= 0",
            name=op.f("ck_book_not_negative"),
        ),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_book_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("delivery_id", "table_name", "file", name=op.f("pk_book")),
    )
    op.create_table(
        "build_delivery",
        sa.Column("build_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["build.id"], name=op.f("fk_build_delivery_build_id_build")),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_build_delivery_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("build_id", "delivery_id", name=op.f("pk_build_delivery")),
    )
    op.create_table(
        "delivery_file",
        sa.Column("delivery_id", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("table_name", sa.String(length=200), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_delivery_file_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("delivery_id", "position", name=op.f("pk_delivery_file")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=True),
        sa.Column("run", sa.String(length=300), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.CheckConstraint(STATE, name=op.f("ck_event_state")),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_event_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_event_delivery_id_id"), ["delivery_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_event_run"), ["run"], unique=False)

    op.create_table(
        "figure",
        sa.Column("release_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("table_name", sa.String(length=200), nullable=False),
        sa.Column("variable", sa.String(length=200), nullable=False),
        sa.Column("measure", sa.String(length=200), nullable=False),
        sa.Column("code", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("text", sa.String(length=200), nullable=True),
        sa.Column("suppressed", sa.Boolean(), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_figure_release_id_release")),
        sa.PrimaryKeyConstraint("release_id", "table_name", "variable", "measure", "code", name=op.f("pk_figure")),
    )
    op.create_table(
        "quality_result",
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("table_name", sa.String(length=200), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("severity", sa.String(length=200), nullable=False),
        sa.Column("verdict", sa.String(length=200), nullable=False),
        sa.Column("violated", sa.BigInteger(), nullable=True),
        sa.Column("denominator", sa.BigInteger(), nullable=True),
        sa.Column("not_applicable", sa.Boolean(), nullable=False),
        sa.Column("words", sa.JSON(none_as_null=True), nullable=True),
        sa.CheckConstraint("verdict in ('passed', 'failed', 'errored')", name=op.f("ck_quality_result_verdict")),
        sa.ForeignKeyConstraint(["run_id"], ["quality_run.id"], name=op.f("fk_quality_result_run_id_quality_run")),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_quality_result")),
    )
    op.create_table(
        "release_delivery",
        sa.Column("release_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", sa.String(length=200), nullable=False),
        sa.Column("added", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_release_delivery_delivery_id_delivery")
        ),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_release_delivery_release_id_release")),
        sa.PrimaryKeyConstraint("release_id", "delivery_id", name=op.f("pk_release_delivery")),
    )

    _refuse_changes()


def _refuse_changes() -> None:
    """History only grows: an update or a delete of these tables is refused by the database itself."""
    if op.get_bind().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for verb in ("update", "delete"):
                op.execute(
                    f"create trigger {table}_refuses_{verb} before {verb} on {table} "
                    f"begin select raise(abort, '{table} is append-only'); end"
                )
        return
    op.execute(
        "create function refuse_change() returns trigger language plpgsql as "
        "$$ begin raise exception '% is append-only', tg_table_name; end $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"create trigger {table}_refuses_changes before update or delete on {table} "
            "for each row execute function refuse_change()"
        )


def downgrade() -> None:
    op.drop_table("release_delivery")
    op.drop_table("quality_result")
    op.drop_table("figure")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_run"))
        batch_op.drop_index(batch_op.f("ix_event_delivery_id_id"))

    op.drop_table("event")
    op.drop_table("delivery_file")
    op.drop_table("build_delivery")
    op.drop_table("book")
    op.drop_table("rule_count")
    op.drop_table("release")
    op.drop_table("registered_key")
    with op.batch_alter_table("quality_run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quality_run_subject_id"))
        batch_op.drop_index(batch_op.f("ix_quality_run_run"))

    op.drop_table("quality_run")
    op.drop_table("delivery")
    op.drop_table("decision")
    op.drop_table("build")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("drop function refuse_change()")
