"""What the lake holds: of every source and period the rows of one delivery, as its events tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, aliased

from catalogue.db.engine import reading
from catalogue.db.models import Delivery, DeliveryFile, Event
from jobs.delivery import FIRST, OPEN, DeliveryId
from jobs.errors import UnexpectedState

Slice = tuple[str, str]


@dataclass(frozen=True)
class Holding:
    """The delivery whose rows the lake holds for a source and a period."""

    delivery: str
    at: datetime
    """When these rows were published: publishing the same versions again changes nothing."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Delta version of each of its tables as it was published last."""
    rows: Mapping[str, int] | None = None
    """Its rows in the lake by table; None when its publishing did not record them."""


def holdings(session: Session) -> dict[Slice, Holding]:
    """What the lake holds by (source, period), in publishing order.

    A delivery is published by its first such event. A run that finds it published may say so again: that changes its
    versions, not which delivery the lake holds. Nothing is left of a period whose delivery was withdrawn, until one is
    published anew.
    """
    held: dict[Slice, Holding] = {}
    published: dict[Slice, set[str]] = {}
    for event in _lake_events(session):
        name = DeliveryId.parse(event.delivery_id).slice
        before, last = published.setdefault(name, set()), held.get(name)
        if event.state == "withdrawn":
            held.pop(name, None)
            before.clear()
            continue
        holding = _to_holding(event)
        if event.delivery_id not in before:
            before.add(event.delivery_id)
            held.pop(name, None)  # the order is that of publishing
            held[name] = holding
        elif last and last.delivery == event.delivery_id and last.versions != holding.versions:
            held[name] = holding
    return held


def source_versions(engine: Engine) -> dict[str, int]:
    """The Delta version of every source table that the last publishing, or withdrawal, made or found: whatever the lake
    holds of a delivery is in it.

    Raises ``UnexpectedState`` when a delivery in the lake was published without saying its versions.
    """
    with reading(engine) as session:
        if unsaid := [h.delivery for h in holdings(session).values() if not h.versions]:
            raise UnexpectedState(f"{unsaid[0]} is published without versions.", next_step="publish it again")
        versions: dict[str, int] = {}
        for event in _lake_events(session):
            for table, version in (event.detail or {}).get("versions", {}).items():
                versions[table] = max(version, versions.get(table, -1))
        return versions


def _lake_events(session: Session) -> Iterable[Event]:
    changes = select(Event).where(Event.state.in_(("published", "withdrawn"))).order_by(Event.id)
    return session.scalars(changes)


def _to_holding(event: Event) -> Holding:
    detail = event.detail or {}
    rows = detail.get("rows")
    return Holding(event.delivery_id, event.at, dict(detail.get("versions", {})), rows or None)


def published_deliveries(engine: Engine) -> list[str]:
    """Deliveries whose rows are in the lake now, in publishing order."""
    with reading(engine) as session:
        return [h.delivery for h in holdings(session).values()]


def latest_published(engine: Engine, source: str, period: str) -> str | None:
    """The delivery whose rows the lake holds for a source and period, or None."""
    with reading(engine) as session:
        held = holdings(session).get((source, period))
    return held.delivery if held else None


def same_content(engine: Engine, source: str, period: str, sha256s: Iterable[str]) -> str | None:
    """The delivery in the lake for this source and period, when its files are the same bytes: the one that has these
    hashes is a duplicate of it (or it)."""
    published = latest_published(engine, source, period)
    if not published:
        return None
    with reading(engine) as session:
        known = session.scalars(select(DeliveryFile.sha256).where(DeliveryFile.delivery_id == published)).all()
    return published if known and sorted(known) == sorted(sha256s) else None


def files_of_other_periods(engine: Engine, delivery: DeliveryId) -> dict[str, str]:
    """sha256 -> the delivery of another period of the same source that brought the same file, for the files of a
    delivery that have rows. Only of deliveries whose rows are in the lake or on their way into it."""
    own, other = aliased(DeliveryFile), aliased(DeliveryFile)
    query = (
        select(other.sha256, other.delivery_id)
        .join(own, own.sha256 == other.sha256)
        .join(Delivery, Delivery.id == other.delivery_id)
        .where(own.delivery_id == str(delivery), own.rows > 0, other.rows > 0)
        .where(Delivery.source == delivery.source, Delivery.period != delivery.period)
        .order_by(other.delivery_id)
    )
    with reading(engine) as session:
        held = {h.delivery for h in holdings(session).values()}
        return {sha256: d for sha256, d in session.execute(query) if d in held or _is_on_its_way(session, d)}


def _is_on_its_way(session: Session, delivery: str) -> bool:
    query = select(Event.state).where(Event.delivery_id == delivery).order_by(Event.id.desc()).limit(1)
    state = session.scalar(query)
    return state in OPEN and state != FIRST
