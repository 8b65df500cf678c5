"""Whether what a page shows is made up: a contributor declares it of each delivery."""

from __future__ import annotations

from collections.abc import Collection, Set

from sqlalchemy import Engine

from catalogue import db


def synthetic_deliveries(engine: Engine) -> frozenset[str]:
    """Deliveries whose contributor declares that their rows are made up."""
    return frozenset(d["id"] for d in db.list_deliveries(engine) if d["synthetic"])


def made_up(deliveries: Collection[str], synthetic: Set[str]) -> str | None:
    """``all`` or ``some`` of these deliveries are among the ``synthetic`` ones; None when none is."""
    count = sum(1 for d in deliveries if d in synthetic)
    return ("all" if count == len(deliveries) else "some") if count else None
