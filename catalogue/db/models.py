"""The hub database: what was delivered, judged, released and may be shown. No table here has a row per person.

All instants are UTC. ``event``, ``decision``, ``quality_run``, ``quality_result`` and ``release`` only grow: triggers
made by the first migration refuse to change or delete their rows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from jobs.delivery import STATES

VERDICTS = ("passed", "warning", "critical", "errored")
APPEND_ONLY = ("event", "decision", "quality_run", "quality_result", "release", "release_delivery")


def _among(column: str, values: tuple[str, ...]) -> str:
    return f"{column} in ({', '.join(repr(v) for v in values)})"


class Utc(TypeDecorator[datetime]):
    """An instant. Naive values are refused; what comes back is aware and in UTC on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Utc(),
        str: String(200),
        int: BigInteger(),
        dict[str, Any]: JSON(none_as_null=True),
        dict[str, int]: JSON(),
    }


class Delivery(Base):
    """One delivery, ``<source>/<period>/v<n>``, as its last accepted manifest announced it."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("source", "period", "version"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    period: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    contract_version: Mapped[int | None] = mapped_column(Integer)
    stage1_key: Mapped[str | None]
    """Check value of the contributor's key (never the key)."""
    manifest_sha256: Mapped[str]
    synthetic: Mapped[bool]
    """The contributor declares that the rows are made up."""
    first_seen_at: Mapped[datetime]
    files: Mapped[list[DeliveryFile]] = relationship(
        cascade="all, delete-orphan", order_by="DeliveryFile.position", lazy="selectin"
    )


class DeliveryFile(Base):
    """One file of a delivery, as announced. ``rows`` are data rows without the header."""

    __tablename__ = "delivery_file"

    delivery_id: Mapped[str] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str]
    table_name: Mapped[str]
    rows: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str]


class Event(Base):
    """One change of a delivery's state. The last one is its state."""

    __tablename__ = "event"
    __table_args__ = (
        CheckConstraint(_among("state", tuple(STATES)), name="state"),
        Index(None, "delivery_id", "id"),
        Index(None, "run"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("delivery.id"))
    at: Mapped[datetime]
    state: Mapped[str]
    reason: Mapped[str | None] = mapped_column(String(2000))
    run: Mapped[str | None] = mapped_column(String(300))
    """The Airflow run that made the change."""
    detail: Mapped[dict[str, Any] | None]


class Book(Base):
    """The books of one file: ``rows_in = rows_published + rows_duplicate + quarantined rows``."""

    __tablename__ = "book"
    __table_args__ = (
        CheckConstraint(
            "rows_in >= 0 and rows_published >= 0 and rows_duplicate >= 0 and rows_settled >= 0", name="not_negative"
        ),
    )

    delivery_id: Mapped[str] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    file: Mapped[str] = mapped_column(primary_key=True)
    rows_in: Mapped[int]
    rows_published: Mapped[int]
    rows_duplicate: Mapped[int]
    rows_settled: Mapped[int | None]
    """Of a file that was staged when the stage settled reversals; NULL since: such rows are published."""
    rows_quarantined: Mapped[dict[str, int]]
    """Rows by reason code."""


class RuleCount(Base):
    """How many rows broke one rule, of how many it applied to, in one subject (a delivery or a build)."""

    __tablename__ = "rule_count"

    subject: Mapped[str] = mapped_column(primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    violated: Mapped[int]
    denominator: Mapped[int]


class QualityRun(Base):
    """One judgement of a subject (a delivery or ``build/<n>``)."""

    __tablename__ = "quality_run"
    __table_args__ = (
        CheckConstraint(_among("verdict", VERDICTS), name="verdict"),
        Index(None, "subject", "id"),
        Index(None, "run"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    subject: Mapped[str]
    at: Mapped[datetime]
    verdict: Mapped[str]
    run: Mapped[str | None] = mapped_column(String(300))
    results: Mapped[list[QualityResult]] = relationship(order_by="QualityResult.position", lazy="selectin")


class QualityResult(Base):
    """One rule's verdict in one quality run."""

    __tablename__ = "quality_result"
    __table_args__ = (CheckConstraint("verdict in ('passed', 'failed', 'errored')", name="verdict"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("quality_run.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    table_name: Mapped[str]
    rule: Mapped[str]
    severity: Mapped[str]
    verdict: Mapped[str]
    violated: Mapped[int | None]
    denominator: Mapped[int | None]
    not_applicable: Mapped[bool]
    words: Mapped[dict[str, Any] | None]
    """What the rule said at the time of the run: kind, columns, claim, why, limits."""


class Decision(Base):
    """What a steward decided on a subject that waited."""

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint("decision in ('approve', 'reject')", name="decision"),
        UniqueConstraint("subject", "who", "at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    subject: Mapped[str]
    who: Mapped[str]
    at: Mapped[datetime]
    decision: Mapped[str]
    reason: Mapped[str | None] = mapped_column(String(2000))


class Build(Base):
    """One build of the OMOP tables; its subject is ``build/<id>``."""

    __tablename__ = "build"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    run: Mapped[str | None] = mapped_column(String(300))
    detail: Mapped[dict[str, Any] | None]
    """Slices that were built, source versions that were read, sums of what was staged, what the
    sources' filters and the harmonisation left out, and the words for it."""
    deliveries: Mapped[list[BuildDelivery]] = relationship(order_by="BuildDelivery.delivery_id", lazy="selectin")


class BuildDelivery(Base):
    """A delivery that a build brings in, or takes out because it was withdrawn."""

    __tablename__ = "build_delivery"

    build_id: Mapped[int] = mapped_column(ForeignKey("build.id"), primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    withdrawn: Mapped[bool] = mapped_column(default=False)


class ReleaseRow(Base):
    """One release: the Delta version of every table that readers see, in one row, so that they see all or nothing."""

    __tablename__ = "release"
    __table_args__ = (UniqueConstraint("build"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    build: Mapped[str]
    """Subject of the build that made it."""
    tables: Mapped[dict[str, int]]
    deliveries: Mapped[list[ReleaseDelivery]] = relationship(order_by="ReleaseDelivery.delivery_id", lazy="selectin")


class ReleaseDelivery(Base):
    """A delivery whose rows are in a release; ``added`` by this one or carried over from the one before."""

    __tablename__ = "release_delivery"

    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"), primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    added: Mapped[bool]


class RegisteredKey(Base):
    """A key by its check value. The key itself is a file that the Spark server reads."""

    __tablename__ = "registered_key"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    check_value: Mapped[str]
    position: Mapped[int] = mapped_column(Integer)
    """Order of registration: the last key of a purpose is the one in use."""
    registered_at: Mapped[datetime]


class FigureRow(Base):
    """One published figure of a table or a variable, disclosure rules already applied: true counts are not stored."""

    __tablename__ = "figure"

    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"), primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    variable: Mapped[str] = mapped_column(primary_key=True)
    """Empty for a figure of the whole table."""
    measure: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    """The code, month or cell that is counted; empty when the figure has none."""
    number: Mapped[float | None]
    text: Mapped[str | None]
    suppressed: Mapped[bool]
    rule: Mapped[str]
    """Version of the disclosure rules that were applied."""
