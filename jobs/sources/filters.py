"""Analysts' filters: rows that they leave out are marked, counted and kept apart, with the first reason that holds.

A filter that cannot be evaluated (NULL) leaves nothing out. The published rules ``dpn_qlf <> '71'`` lose every row
where the column is empty; stated the other way round they do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.errors import UnexpectedState
from jobs.harmonise.stem import LEFT_OUT, PERIOD
from jobs.sources.protocol import Filter

Slice = tuple[str, str]
"""Table and period."""
Count = tuple[str, str, str | None, int]
"""Table, period, filter, rows."""


def with_filters(rows: DataFrame, filters: Iterable[Filter]) -> DataFrame:
    """Every row, with ``_left_out``: the first filter that leaves it out, NULL when it stays."""
    names = [F.when(F.expr(f.leaves_out), F.lit(f.name)) for f in filters]
    return rows.withColumn(LEFT_OUT, F.coalesce(*names, F.lit(None).cast("string")))


def only_kept(rows: DataFrame) -> DataFrame:
    """The rows that stay."""
    return rows.where(F.col(LEFT_OUT).isNull()).drop(LEFT_OUT)


def to_outcomes(name: str, marked: DataFrame, settled: DataFrame | None = None) -> DataFrame:
    """One row per published row of one table: ``table`` (its name everywhere), ``_period``, and ``filter``, which left
    it out, or what settlement (``settled``: a row per row that it left out) says instead; NULL for a row that stays."""
    every = marked.select(PERIOD, LEFT_OUT)
    every = every if settled is None else every.unionByName(settled.select(PERIOD, LEFT_OUT))
    return every.select(F.lit(name).alias("table"), PERIOD, F.col(LEFT_OUT).alias("filter"))


def read_books(published: Mapping[Slice, int], outcomes: DataFrame) -> list[dict[str, Any]]:
    """The books of all tables in one query: ``table, period, rows, stay, left_out`` (rows by filter).

    ``published``: rows by table and period. Always rows = stay + left out. Raises ``UnexpectedState`` otherwise: a
    source's join doubled rows, or lost some.
    """
    counted = outcomes.groupBy("table", PERIOD, "filter").agg(F.count("*").alias("rows")).collect()
    return to_books(published, ((row["table"], row[PERIOD], row["filter"], row["rows"]) for row in counted))


def to_books(published: Mapping[Slice, int], counted: Iterable[Count]) -> list[dict[str, Any]]:
    """``read_books`` of numbers that were read."""
    books: dict[Slice, dict[str, Any]] = {
        at: {"table": at[0], "period": at[1], "rows": rows, "stay": 0, "left_out": {}} for at, rows in published.items()
    }
    for table, period, name, rows in counted:
        nothing = {"table": table, "period": period, "rows": 0, "stay": 0, "left_out": {}}
        book = books.setdefault((table, period), nothing)
        if name is None:
            book["stay"] = rows
        else:
            book["left_out"][name] = rows
    for (table, period), book in books.items():
        if book["rows"] != book["stay"] + sum(book["left_out"].values()):
            raise UnexpectedState(
                f"{table}, {period}: {book['rows']} rows are published, but settlement and filters saw "
                f"{book['stay'] + sum(book['left_out'].values())}.",
                next_step=f"look at the joins in jobs/sources/{table.split('/')[0]}/filters.py",
            )
    return [books[at] for at in sorted(books)]
