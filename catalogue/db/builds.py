"""What a build left out, and why: settled reversals and the analysts' filters, row by row; and events that reach no
table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, func, select

from catalogue.db.deliveries import Record
from catalogue.db.engine import reading
from catalogue.db.models import Build, BuildDelivery
from catalogue.db.releases import build_detail
from jobs.delivery import Subject

UNNAMED = {"fr": "", "en": ""}
SETTLED = "settled"
"""The reason of rows that cancel others, or are cancelled."""
BY_STAGE = "stage"


def filter_books(engine: Engine, build: int) -> list[Record]:
    """The books of settlement and filters, one record per table and period: ``table, period, rows, stay, left_out``.

    ``rows = stay +`` what is left out, by ``filter`` (its name, or the reason of a settlement), with ``rows`` and
    ``why`` (fr, en) as said when the build was made. Exact counts: for stewards. Raises ``NotReady`` for a build that
    is not complete.
    """
    detail = build_detail(engine, build)
    return [
        {
            **book,
            "left_out": [
                {"filter": name, "rows": rows, "why": _why(detail, f"{book['table']}/{name}")}
                for name, rows in sorted(book["left_out"].items())
            ],
        }
        for book in detail.get("filtered", ())
    ]


def with_settled(engine: Engine, deliveries: Iterable[Record]) -> list[Record]:
    """The same records (``list_deliveries``) with the rows that reversals settled, ``rows_settled``, in all and by
    table, and ``settled_by``: what settled them.

    That is the last complete build that brought the delivery in (``build/3``): the rows are among those published. Or
    it is ``stage``, of a delivery that was staged when that was so: the rows are beside them. None before any did.
    """
    every = list(deliveries)
    builds = _bringing_in(engine, [d["id"] for d in every])
    return [_with_settled(d, *builds.get(d["id"], (None, ()))) for d in every]


def _bringing_in(engine: Engine, deliveries: Iterable[str]) -> dict[str, tuple[int, list[Record]]]:
    """The last complete build that brought each delivery in, and its books."""
    wanted = set(deliveries)
    last = (
        select(BuildDelivery.delivery_id, func.max(Build.id))
        .join(Build, Build.id == BuildDelivery.build_id)
        .where(Build.detail.is_not(None), ~BuildDelivery.withdrawn)
        .group_by(BuildDelivery.delivery_id)
    )
    with reading(engine) as session:
        found = {delivery: build for delivery, build in session.execute(last) if delivery in wanted}
        of_builds = select(Build.id, Build.detail["filtered"]).where(Build.id.in_(set(found.values())))
        books = {build: list(filtered or ()) for build, filtered in session.execute(of_builds)}
    return {delivery: (build, books[build]) for delivery, build in found.items()}


def _with_settled(delivery: Record, build: int | None, books: Iterable[Record]) -> Record:
    if "rows_settled" in delivery:
        return {**delivery, "settled_by": BY_STAGE}
    if build is None:
        return {**delivery, "rows_settled": None, "settled_by": None}
    mine = {b["table"]: b["left_out"].get(SETTLED, 0) for b in books if b["period"] == delivery["period"]}
    settled = {table: mine.get(f"{delivery['source']}/{table}", 0) for table in delivery["tables"]}
    return {
        **delivery,
        "rows_settled": sum(settled.values()),
        "settled_by": str(Subject(build=build)),
        "tables": {t: {**counts, "rows_settled": settled[t]} for t, counts in delivery["tables"].items()},
    }


def build_losses(engine: Engine, build: int) -> list[Record]:
    """Events that reach no OMOP table, by ``source, period, kind, reason``, with ``rows`` and ``why`` (fr, en).

    Exact counts: for stewards. Raises ``NotReady`` for a build that is not complete.
    """
    detail = build_detail(engine, build)
    losses = []
    for name, rows in sorted(detail.get("losses", {}).items()):
        source, period, kind, reason = name.split("/")
        why = _why(detail, f"loss/{reason}")
        losses.append({"source": source, "period": period, "kind": kind, "reason": reason, "rows": rows, "why": why})
    return losses


def _why(detail: dict[str, Any], name: str) -> dict[str, str]:
    return dict(detail.get("words", {}).get(name, UNNAMED))
