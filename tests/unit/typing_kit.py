"""Contracts and blocks of text for the tests of casts and row rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.rows.typed import Typed, typing_of
from schemas.loader import Csv, Table

TEXT = {"fr": "x", "en": "x"}
MONTH, CSV = "2024-02", Csv(date_format="dd/MM/yyyy")
FRENCH = Csv(date_format="dd/MM/yyyy", decimal=",")

Row = tuple[str | None, ...]
Outcome = tuple[Any, str | None]
"""The value in the lake's type, and the reason code of its row."""


def column(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "meaning": TEXT} | more


DETAILS = Table.model_validate(
    {
        "table": "detail",
        "title": TEXT,
        "row": TEXT,
        "key": ["ORD", "NUM"],
        "parent": {"table": "line", "columns": ["ORD"]},
        "column": [column("ORD", type="integer", required=True), column("NUM", type="integer", required=True)],
    }
)
"""Details of a table ``line`` whose key is ``ORD``."""


def contract(*columns: Mapping[str, Any], **more: Any) -> Table:
    return Table.model_validate({"table": "t", "title": TEXT, "row": TEXT, "column": columns} | more)


def block(names: Sequence[str], rows: Sequence[Row]) -> pa.Table:
    """Rows as a reader yields them: text, NULL where a field is empty, and their numbers."""
    columns = {name: pa.array([row[at] or None for row in rows], pa.string()) for at, name in enumerate(names)}
    return pa.table({**columns, "_row": pa.array(range(1, len(rows) + 1), pa.int64())})


def typed(table: Table, rows: Sequence[Row], csv: Csv = CSV, period: str = MONTH) -> Typed:
    made = typing_of(table, csv, period)(block(table.names, rows))
    made.rows.validate(full=True)
    made.refused.validate(full=True)
    return made


def outcomes(table: Table, texts: Sequence[str], csv: Csv = CSV, period: str = MONTH) -> list[Outcome]:
    """What becomes of texts in a table of one column; of a refused one no value counts."""
    rows = typed(table, [(text,) for text in texts], csv, period).rows
    kept = pc.if_else(pc.is_null(rows["_reason"]), rows.column(0), pa.scalar(None, rows.column(0).type))
    values = [v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in kept.to_pylist()]
    return list(zip(values, rows["_reason"].to_pylist(), strict=True))
