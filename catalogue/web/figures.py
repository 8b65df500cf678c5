"""Published figures as the pages look them up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from catalogue.web import contracts

Figure = Mapping[str, Any]

GRID = "gender_concept_id,year_of_birth"
"""Variable of the figures that count persons by sex and decade of birth."""


class Figures:
    """Figures of the last described release, by table, variable and measure."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._found: dict[tuple[str, str, str], list[Figure]] = {}
        for f in figures:
            self._found.setdefault((f["table"], f["variable"], f["measure"]), []).append(f)

    def one(self, table: str, measure: str, variable: str = "") -> Figure | None:
        """The only figure of a measure, or None."""
        return next(iter(self.all(table, measure, variable)), None)

    def all(self, table: str, measure: str, variable: str = "") -> list[Figure]:
        return self._found.get((table, variable, measure), [])


def to_grid(cells: Sequence[Figure]) -> dict[str, Any] | None:
    """Persons by sex (rows) and decade of birth (columns); totals are sums of the cells that are shown."""
    if not cells:
        return None
    numbers = {tuple(f["code"].split("|")): f["number"] for f in cells}
    rows, columns = sorted({k[0] for k in numbers}), sorted({k[1] for k in numbers})
    return {
        "columns": columns,
        "rows": [
            {
                "label": contracts.concepts().get(row, row),
                "cells": [numbers.get((row, c)) for c in columns],
                "total": _sum(numbers.get((row, c)) for c in columns),
            }
            for row in rows
        ],
        "totals": [_sum(numbers.get((r, c)) for r in rows) for c in columns],
        "all": _sum(numbers.values()),
    }


def _sum(numbers: Iterable[float | None]) -> float | None:
    """D3: the sum of what is shown; None when nothing is."""
    shown = [n for n in numbers if n is not None]
    return sum(shown) if shown else None
