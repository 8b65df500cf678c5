"""Literal tables that a steward can read and write: an ASCII table is a DataFrame, and a DataFrame is checked by one.

```
PHA_PRS_C13   | PHA_ACT_QSN | _period
--------------+-------------+--------
3400999900010 | 2           | 2024-01
```
An empty cell is NULL. Types come from the contract (``source``) or from the shape (``shaped``); columns that a table
does not show are NULL. A pseudonym (BINARY) is written as a short word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from jobs.sources.filters import read_books
from jobs.sources.harmonisable import to_harmonisable
from schemas.loader import load, spark_type

LINEAGE = {"_source": "string", "_period": "string"}
PLACE = {"_file": "string", "_row": "bigint"}


def cells(text: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of an ASCII table."""
    lines = [line for line in text.splitlines() if line.strip() and not set(line.strip()) <= set("-+")]
    header, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    if wrong := [row for row in rows if len(row) != len(header)]:
        raise ValueError(f"{len(header)} columns, but a row is {wrong[0]}")
    return header, rows


def table(spark: SparkSession, text: str, types: dict[str, str]) -> DataFrame:
    """A DataFrame with all columns of ``types``, in that order; ``_row`` counts the rows unless the table shows it."""
    header, rows = cells(text)
    if unknown := set(header) - set(types):
        raise ValueError(f"not columns of the table: {sorted(unknown)}")
    texts = spark.createDataFrame(
        [(*(cell or None for cell in row), str(number)) for number, row in enumerate(rows, 1)],
        ", ".join(f"`{name}` string" for name in (*header, "#")),
    )

    def value(name: str) -> Column:
        if name in header:
            return F.col(name)
        return F.col("#") if name == "_row" else F.lit(None)

    return texts.select(*[value(n).cast(kind).alias(n) for n, kind in types.items()])


def source(spark: SparkSession, name: str, text: str = "", period: str = "2024-01") -> DataFrame:
    """Rows of a published source table (``dcir/er_prs_f``); ``_period`` is ``period`` unless the table shows it."""
    types = {c.name: spark_type(c) for c in load(name).lake_columns} | PLACE | {"_period": "string"}
    rows = table(spark, text or "_period", types)
    return rows.fillna({"_period": period, "_file": "a.csv"})


def shaped(spark: SparkSession, shape: StructType, text: str, **constants: object) -> DataFrame:
    """Rows of STEM or EVIDENCE with lineage; ``constants`` fill columns that the table does not show."""
    types = {f.name: f.dataType.simpleString() for f in shape.fields} | LINEAGE
    rows = table(spark, text, types)
    for name, value in constants.items():
        rows = rows.withColumn(name, F.lit(value).cast(types[name]))
    return rows


def shown(frame: DataFrame, columns: Iterable[str]) -> list[tuple[str, ...]]:
    """The rows of a DataFrame as sorted texts, NULL as an empty one."""
    texts = [F.coalesce(F.col(c).cast("string"), F.lit("")).alias(c) for c in columns]
    return sorted(tuple(row) for row in frame.select(*texts).collect())


def check(frame: DataFrame, text: str) -> None:
    """The DataFrame has exactly these rows in these columns; order does not count, other columns do not either."""
    header, rows = cells(text)
    assert shown(frame, header) == sorted(tuple(row) for row in rows)


def books(source: str, tables: Mapping[str, DataFrame]) -> list[dict[str, Any]]:
    """What settlement and filters made of a source's tables; of what is published, every row is counted."""
    rows = {
        (f"{source}/{name}", r["_period"]): r["count"]
        for name, t in tables.items()
        for r in t.groupBy("_period").count().collect()
    }
    return read_books(rows, to_harmonisable(source, tables).outcomes)


def check_books(books: list[dict[str, object]], text: str) -> None:
    """What the filters made of every table and period, as ``3 objection, 1 other_month``."""
    columns, rows = cells(text)
    assert columns == ["table", "period", "rows", "stay", "left out"]
    made = [
        (b["table"], b["period"], b["rows"], b["stay"], ", ".join(f"{n} {f}" for f, n in sorted(b["left_out"].items())))  # type: ignore[attr-defined]
        for b in books
    ]
    assert sorted(tuple(map(str, row)) for row in made) == sorted(tuple(row) for row in rows)
