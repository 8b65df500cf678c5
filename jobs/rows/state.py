"""The state of every row: what it says alone, and what others made of it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.rows.books import DUPLICATE, KEPT, QUARANTINED, SETTLED, STATUS
from jobs.rows.exceptions import PLACE
from schemas.loader import Table, spark_type


def with_state(rows: DataFrame, table: Table) -> DataFrame:
    """One row per row: the lake's columns, ``_file``, ``_row``, ``_status`` (kept, quarantined, duplicate, settled),
    ``_reason`` (of quarantined rows), ``_content``, and the answers of flagged rules where they are there.

    ``rows``: as ``typed`` gives them, with the columns of ``to_exceptions`` where others were asked; without them,
    what each row says alone.
    """
    has = set(rows.columns)
    status, reason = _state(has)
    summed = {c for c in has if c.startswith("_sum_")}

    def column(name: str) -> Column:
        if f"_sum_{name}" not in summed:
            return F.col(name)
        total = F.when(status == KEPT, F.col(f"_sum_{name}")).cast(spark_type(table.column(name)))
        return F.coalesce(total, F.col(name))

    names = [c.name for c in table.lake_columns]
    return rows.select(
        *[column(name).alias(name) for name in names],
        *PLACE,
        status.alias(STATUS),
        F.when(status == QUARANTINED, reason).alias("_reason"),
        (F.xxhash64(*[column(name) for name in names]) if summed else F.col("_content")).alias("_content"),
        *[c for c in rows.columns if c.startswith("_ok_")],
    )


def _state(has: set[str]) -> tuple[Column, Column]:
    nothing = F.lit(None).cast("string")
    copy = F.col("_copy") if "_copy" in has else nothing
    parent = F.col("_parent") if "_parent" in has else nothing
    settled = F.coalesce("_settled", F.lit(False)) if "_settled" in has else F.lit(False)
    reason = F.coalesce(
        F.col("_reason"),
        F.when(copy == "conflict", F.lit("conflict")),
        F.when(parent == "orphan", F.lit("orphan")),
        F.col("_overflow") if "_overflow" in has else nothing,
    )
    status = (
        F.when(copy == DUPLICATE, F.lit(DUPLICATE))
        .when(reason.isNotNull(), F.lit(QUARANTINED))
        .when((parent == SETTLED) | settled, F.lit(SETTLED))
        .otherwise(F.lit(KEPT))
    )
    return status, reason
