"""The stage of one table as one pure function: typed rows in, every row with its state out."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.stage.marks import PLACE, copies, orphans, reversals
from jobs.stage.typed import spark_type
from schemas.loader import Table

KEPT, QUARANTINED, DUPLICATE, SETTLED = "kept", "quarantined", "duplicate", "settled"


def to_staged(rows: DataFrame, table: Table, parent: DataFrame | None) -> DataFrame:
    """One row per landed row: the lake's columns, ``_file``, ``_row``, ``_status`` (kept, quarantined, duplicate,
    settled) and ``_reason`` (of quarantined rows).

    ``rows``: as ``typed`` gives them; they are read several times, so the caller keeps them. ``parent``: the staged
    parent table, if any.
    """
    found = rows
    copied = copies(rows, table.key) if table.key else None
    if copied is not None:
        found = found.join(F.broadcast(copied), list(PLACE), "left")
    if table.parent and parent is not None:
        found = found.join(F.broadcast(orphans(rows, table.parent, parent)), list(PLACE), "left")
    if table.settle and copied is not None:
        found = found.join(F.broadcast(reversals(rows, table.settle, copied)), list(PLACE), "left")
    has = set(found.columns)
    status, reason = _state(has)
    added = {table.settle.quantity, *table.settle.sums} if table.settle else set()

    def column(name: str) -> Column:
        if name not in added:
            return F.col(name)
        summed = F.when(status == KEPT, F.col(f"_sum_{name}")).cast(spark_type(table.column(name)))
        return F.coalesce(summed, F.col(name)).alias(name)

    return found.select(
        *[column(c.name) for c in table.lake_columns],
        *PLACE,
        status.alias("_status"),
        F.when(status == QUARANTINED, reason).alias("_reason"),
    )


def _state(has: set[str]) -> tuple[Column, Column]:
    nothing = F.lit(None).cast("string")
    copy = F.col("_copy") if "_copy" in has else nothing
    parent = F.col("_parent") if "_parent" in has else nothing
    settled = F.coalesce("_settled", F.lit(False)) if "_settled" in has else F.lit(False)
    reason = F.coalesce(
        F.col("_reason"), F.when(copy == "conflict", F.lit("conflict")), F.when(parent == "orphan", F.lit("orphan"))
    )
    status = (
        F.when(copy == "duplicate", F.lit(DUPLICATE))
        .when(reason.isNotNull(), F.lit(QUARANTINED))
        .when((parent == "settled") | settled, F.lit(SETTLED))
        .otherwise(F.lit(KEPT))
    )
    return status, reason
