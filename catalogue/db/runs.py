"""What the runs of Airflow did with deliveries, as the deliveries' events tell it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from catalogue.db.engine import reading
from catalogue.db.models import Delivery, Event
from jobs.delivery import FIRST

Record = dict[str, Any]


def delivery_of_run(engine: Engine, run: str) -> str | None:
    """The delivery that an Airflow run works on; None when it has said nothing of one yet, or speaks of several."""
    with reading(engine) as session:
        found = session.scalars(select(Event.delivery_id).where(Event.run == run).distinct().limit(2)).all()
    return found[0] if len(found) == 1 else None


def announced_in(engine: Engine, run: str) -> list[Record]:
    """Deliveries that an Airflow run announced and that were not taken in since, by name: ``source, period, version,
    at`` (when it was announced)."""
    last = select(func.max(Event.id)).group_by(Event.delivery_id)
    query = (
        select(Delivery, Event.at)
        .join(Event, Event.delivery_id == Delivery.id)
        .where(Event.id.in_(last), Event.state == FIRST, Event.run == run)
        .order_by(Delivery.source, Delivery.period, Delivery.version)
    )
    with reading(engine) as session:
        return [
            {"source": d.source, "period": d.period, "version": d.version, "at": at} for d, at in session.execute(query)
        ]
