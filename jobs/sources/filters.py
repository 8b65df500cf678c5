"""Analysts' filters: rows that they leave out are marked, counted and kept apart, with the first reason that holds.

A filter that cannot be evaluated (NULL) leaves nothing out. The published rules ``dpn_qlf <> '71'`` lose every row
where the column is empty; stated the other way round they do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.errors import UnexpectedState
from jobs.harmonise.stem import LEFT_OUT, PERIOD
from jobs.sources.protocol import Filter


def with_filters(rows: DataFrame, filters: Iterable[Filter]) -> DataFrame:
    """Every row, with ``_left_out``: the first filter that leaves it out, NULL when it stays."""
    names = [F.when(F.expr(f.leaves_out), F.lit(f.name)) for f in filters]
    return rows.withColumn(LEFT_OUT, F.coalesce(*names, F.lit(None).cast("string")))


def only_kept(rows: DataFrame) -> DataFrame:
    """The rows that stay."""
    return rows.where(F.col(LEFT_OUT).isNull()).drop(LEFT_OUT)


def to_counts(name: str, published: DataFrame, marked: DataFrame, settled: DataFrame | None = None) -> DataFrame:
    """Rows of one table by slice and reason: ``table`` (its name everywhere), ``_period``, ``filter``, ``published``,
    ``filtered``. One row per slice counts what is published, the others what settlement (``settled``: a row per row
    that it left out) and then the filters made of it: a NULL filter counts the rows that stay."""
    nothing, rows = F.lit(0).cast("bigint"), F.count("*")
    before = published.groupBy(PERIOD).agg(rows.alias("published"))
    every = marked.select(PERIOD, LEFT_OUT)
    every = every if settled is None else every.unionByName(settled)
    after = every.groupBy(PERIOD, F.col(LEFT_OUT).alias("filter")).agg(rows.alias("filtered"))
    return (
        before.withColumn("filter", F.lit(None).cast("string"))
        .withColumn("filtered", nothing)
        .unionByName(after.withColumn("published", nothing))
        .select(F.lit(name).alias("table"), PERIOD, "filter", "published", "filtered")
    )


def read_books(counts: Iterable[DataFrame]) -> list[dict[str, Any]]:
    """The books of all tables (``to_counts``) in one query: ``table, period, rows, stay, left_out`` (rows by filter).

    Always rows = stay + left out. Raises ``UnexpectedState`` otherwise: a source's join doubled rows, or lost some.
    """
    return to_books(row.asDict() for row in reduce(DataFrame.unionByName, counts).collect())


def to_books(counts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``read_books`` of rows that were read."""
    books: dict[tuple[str, str], dict[str, Any]] = {}
    for count in counts:
        at = count["table"], count[PERIOD]
        book = books.setdefault(at, {"table": at[0], "period": at[1], "rows": 0, "stay": 0, "left_out": {}})
        book["rows"] += count["published"]
        if count["filter"] is None:
            book["stay"] += count["filtered"]
        else:
            book["left_out"][count["filter"]] = count["filtered"]
    for (table, period), book in books.items():
        if book["rows"] != book["stay"] + sum(book["left_out"].values()):
            raise UnexpectedState(
                f"{table}, {period}: {book['rows']} rows are published, but settlement and filters saw "
                f"{book['stay'] + sum(book['left_out'].values())}.",
                next_step=f"look at the joins in jobs/sources/{table.split('/')[0]}/filters.py",
            )
    return [books[at] for at in sorted(books)]
