"""What a build left out of OMOP, and why, ready for the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine

from catalogue import db
from catalogue.db.deliveries import Record
from catalogue.web.control import Count, to_sum
from jobs.delivery import Subject
from jobs.disclosure.control import hidden_in_line, to_shown

STAY = ""
"""Stands for the rows that stay, beside the names of the filters."""


def left_out(engine: Engine, subject: str, *, exact: bool) -> dict[str, Any] | None:
    """Rows of every ``tables`` that stay and that the filters left out, over the periods of a build; its ``losses``.

    None when ``subject`` is not a build that is complete. The counts pass disclosure control unless ``exact``:
    None stands for one that is hidden, a reason whose rows are hidden is not named.
    """
    build = Subject.parse(subject).build
    if build is None or not db.is_complete(engine, build):
        return None
    books: dict[str, list[Record]] = {}
    for book in db.filter_books(engine, build):
        books.setdefault(book["table"], []).append(book)
    losses = _sums(db.build_losses(engine, build), ("source", "kind", "reason"))
    shown = [{**loss, "rows": loss["rows"] if exact else to_shown(loss["rows"])} for loss in losses]
    return {
        "tables": [_to_table(name, of_table, exact=exact) for name, of_table in books.items()],
        "losses": [loss for loss in shown if loss["rows"] is not None],
    }


def _to_table(name: str, books: Iterable[Record], *, exact: bool) -> dict[str, Any]:
    """One table over all periods: what is shown of its rows, of those that stay, and of each reason."""
    each = list(books)
    reasons = {r["filter"]: r for r in _sums((r for b in each for r in b["left_out"]), ("filter",))}
    line = {STAY: sum(b["stay"] for b in each), **{name: r["rows"] for name, r in reasons.items()}}
    hidden = set() if exact else hidden_in_line(line)
    shown: dict[str, Count] = {
        name: None if name in hidden else rows if exact else to_shown(rows) for name, rows in line.items()
    }
    return {
        "table": name,
        "rows": to_sum(shown.values()),
        "stay": shown[STAY],
        "reasons": [{**r, "rows": shown[name]} for name, r in reasons.items() if shown[name] is not None],
    }


def _sums(counted: Iterable[Mapping[str, Any]], by: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows added up over what is equal in ``by``, most first."""
    sums: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in counted:
        sums.setdefault(tuple(one[name] for name in by), {**one, "rows": 0})["rows"] += one["rows"]
    return sorted(sums.values(), key=lambda one: -one["rows"])
