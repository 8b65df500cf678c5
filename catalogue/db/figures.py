"""Published figures: the only numbers on tables and variables that the catalogue has.

A figure is ``table, variable, measure, code, number, text, suppressed, rule``. The store is the last gate of disclosure
control: it refuses a count that is small or not rounded, whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine, delete, func, select

from catalogue.db.deliveries import Record
from catalogue.db.engine import reading, writing
from catalogue.db.models import FigureRow, ReleaseRow
from jobs.disclosure.limits import BASE, SHARES, SIZES, SMALL
from jobs.errors import DisclosureRefused, UnexpectedState


def set_figures(engine: Engine, release_id: int, figures: Iterable[Mapping[str, Any]]) -> None:
    """Replace the figures of a release.

    Raises ``DisclosureRefused`` (nothing is written) when a suppressed figure carries a number, when a count is below
    11 or no multiple of 5, or when a share is not a whole percent.
    """
    rows = [
        FigureRow(
            release_id=release_id,
            table_name=f["table"],
            variable=f.get("variable") or "",
            measure=f["measure"],
            code=f.get("code") or "",
            number=f.get("number"),
            text=f.get("text"),
            suppressed=bool(f.get("suppressed", False)),
            rule=f["rule"],
        )
        for f in figures
    ]
    for row in rows:
        _must_be_publishable(row)
    with writing(engine) as session:
        if not session.get(ReleaseRow, release_id):
            raise UnexpectedState("There are figures for a release that does not exist.")
        session.execute(delete(FigureRow).where(FigureRow.release_id == release_id))
        session.add_all(rows)


def _must_be_publishable(row: FigureRow) -> None:
    number = row.number
    if row.suppressed:
        sound = number is None and row.text is None
    elif number is None or number == 0:
        sound = True
    elif row.measure in SIZES:
        sound = number == int(number) and number > 0
    elif row.measure in SHARES:
        sound = number == int(number) and 0 <= number <= 100
    else:
        sound = number >= SMALL and number % BASE == 0
    if not sound:
        raise DisclosureRefused(
            f"A figure of {row.table_name} ({row.measure}) may not be shown as it is.",
            reason="figure",
            next_step="figures pass jobs.disclosure.control first",
        )


def list_figures(engine: Engine, release_id: int | None = None, table: str | None = None) -> list[Record]:
    """Figures of a release (of the last described one by default), of one table when asked, in a stable order."""
    with reading(engine) as session:
        if release_id is None:
            release_id = session.scalar(select(func.max(FigureRow.release_id)))
        query = select(FigureRow).where(FigureRow.release_id == release_id)
        if table is not None:
            query = query.where(FigureRow.table_name == table)
        query = query.order_by(FigureRow.table_name, FigureRow.variable, FigureRow.measure, FigureRow.code)
        return [
            {
                "table": f.table_name,
                "variable": f.variable,
                "measure": f.measure,
                "code": f.code,
                "number": f.number,
                "text": f.text,
                "suppressed": f.suppressed,
                "rule": f.rule,
            }
            for f in session.scalars(query)
        ]


def described_release(engine: Engine, before: int | None = None) -> int | None:
    """The last release that has figures, before another one when asked; None when there is none."""
    query = select(func.max(FigureRow.release_id))
    if before is not None:
        query = query.where(FigureRow.release_id < before)
    with reading(engine) as session:
        return session.scalar(query)
