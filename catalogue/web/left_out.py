"""What a build left out of OMOP, and why, ready for the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine

from catalogue import db
from jobs.delivery import Subject
from jobs.disclosure.limits import BASE, SMALL

Figure = dict[str, Any]


def left_out(engine: Engine, subject: str, *, exact: bool = False) -> dict[str, Any] | None:
    """Rows of every table that stay and that the filters left out, over the periods of a build; events that were lost.

    None when ``subject`` is no build, or one that is not complete. Counts are figures (``number``, ``suppressed``):
    exact ones are for stewards, those for everyone are rounded, small ones hidden.
    """
    build = Subject.parse(subject).build
    if build is None or not db.is_complete(engine, build):
        return None
    tables: dict[str, dict[str, Any]] = {}
    for book in db.filter_books(engine, build):
        table = tables.setdefault(book["table"], {"table": book["table"], "rows": 0, "stay": 0, "reasons": {}})
        table["rows"] += book["rows"]
        table["stay"] += book["stay"]
        for reason in book["left_out"]:
            _add(table["reasons"], reason["filter"], reason)
    losses: dict[str, dict[str, Any]] = {}
    for loss in db.build_losses(engine, build):
        _add(losses, f"{loss['source']}/{loss['kind']}/{loss['reason']}", loss)
    return {
        "tables": [
            {
                **t,
                "rows": figure(t["rows"], exact=exact),
                "stay": figure(t["stay"], exact=exact),
                "reasons": _shown(t["reasons"].values(), exact=exact),
            }
            for t in tables.values()
        ],
        "losses": _shown(losses.values(), exact=exact),
    }


def figure(rows: int, *, exact: bool) -> Figure:
    """A count as it may be shown: as it is, or in multiples of 5 and none from 1 to 10."""
    if exact or rows == 0:
        return {"number": rows, "suppressed": False}
    return {"number": BASE * round(rows / BASE) if rows >= SMALL else None, "suppressed": rows < SMALL}


def _add(sums: dict[str, dict[str, Any]], name: str, counted: Mapping[str, Any]) -> None:
    sums.setdefault(name, {**counted, "rows": 0})["rows"] += counted["rows"]


def _shown(counted: Iterable[Mapping[str, Any]], *, exact: bool) -> list[dict[str, Any]]:
    ordered = sorted(counted, key=lambda c: -c["rows"])
    return [{**c, "rows": figure(c["rows"], exact=exact)} for c in ordered]
