"""The state of every row: what it says alone, and what others made of it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.rows.books import DUPLICATE, KEPT, QUARANTINED, STATUS
from jobs.rows.exceptions import PLACE
from schemas.loader import Table


def with_state(rows: DataFrame, table: Table) -> DataFrame:
    """One row per row: the lake's columns, ``_file``, ``_row``, ``_status`` (kept, quarantined, duplicate),
    ``_reason`` (of quarantined rows), ``_content``, and the answers of flagged rules where they are there.

    ``rows``: as ``typed`` gives them, with the columns of ``to_exceptions`` where others were asked; without them,
    what each row says alone.
    """
    status, reason = _state(set(rows.columns))
    return rows.select(
        *[c.name for c in table.lake_columns],
        *PLACE,
        status.alias(STATUS),
        F.when(status == QUARANTINED, reason).alias("_reason"),
        "_content",
        *[c for c in rows.columns if c.startswith("_ok_")],
    )


def _state(has: set[str]) -> tuple[Column, Column]:
    nothing = F.lit(None).cast("string")
    copy = F.col("_copy") if "_copy" in has else nothing
    parent = F.col("_parent") if "_parent" in has else nothing
    reason = F.coalesce(F.col("_reason"), F.when(copy == "conflict", F.lit("conflict")), parent)
    refused = F.when(reason.isNotNull(), F.lit(QUARANTINED)).otherwise(F.lit(KEPT))
    status = F.when(copy == DUPLICATE, F.lit(DUPLICATE)).otherwise(refused)
    return status, reason
