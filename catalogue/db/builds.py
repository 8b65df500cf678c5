"""What a build left out, and why: by the analysts' filters, row by row; and events that reach no table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from catalogue.db.deliveries import Record
from catalogue.db.releases import build_detail

UNNAMED = {"fr": "", "en": ""}


def filter_books(engine: Engine, build: int) -> list[Record]:
    """The books of the filters, one record per table and period: ``table, period, rows, stay, left_out``.

    ``rows = stay +`` what is left out, by ``filter``, with ``rows`` and ``why`` (fr, en) as said when the build was
    made. Exact counts: for stewards. Raises ``NotReady`` for a build that is not complete.
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
