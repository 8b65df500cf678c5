"""What a row cannot know alone: is it a copy, has it a parent?

Each function looks at key columns only and returns exceptions: one row per (``_file``, ``_row``) whose state others
change. Exceptions are few; they lie beside the rows, which are written once.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.rows.books import DUPLICATE, KEPT, STATUS
from schemas.loader import Parent, Table

PLACE = ("_file", "_row")


def digest(names: tuple[str, ...] | list[str]) -> Column:
    """64-bit hash of some columns. Two different keys share one with probability n^2 / 2^65."""
    return F.xxhash64(*[F.col(n) for n in names])


def to_exceptions(rows: DataFrame, table: Table, parent: DataFrame | None) -> DataFrame:
    """One row per row that is an exception for another's sake, with the columns of ``to_copies`` and ``to_orphans``.
    ``parent``: the staged parent table with its states, if any."""
    kinds = []
    if table.key:
        kinds.append(to_copies(rows, table.key))
    if table.parent and parent is not None:
        kinds.append(to_orphans(rows, table.parent, parent))
    together = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), kinds)
    columns = [c for c in together.columns if c not in PLACE]
    return together.groupBy(*PLACE).agg(*[F.max(c).alias(c) for c in columns])


def to_copies(rows: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """One row per row that shares its key: ``_copy`` is ``duplicate`` (a later copy, equal in every column that
    reaches the lake) or ``conflict`` (rows of this key differ: none of them can be believed)."""
    hashed = rows.withColumn("_hash", digest(key))
    repeated = hashed.groupBy("_hash").agg(F.count(F.lit(1)).alias("_n")).where("_n > 1").select("_hash")
    suspects = hashed.join(F.broadcast(repeated), "_hash", "left_semi")
    same = Window.partitionBy(*key)
    return (
        suspects.withColumn("_differ", F.min("_content").over(same) != F.max("_content").over(same))
        .withColumn("_order", F.row_number().over(same.orderBy(*PLACE)))
        .withColumn("_copy", F.when(F.col("_differ"), F.lit("conflict")).when(F.col("_order") > 1, F.lit(DUPLICATE)))
        .where(F.col("_copy").isNotNull())
        .select(*PLACE, "_copy")
    )


def to_orphans(rows: DataFrame, parent: Parent, parents: DataFrame) -> DataFrame:
    """One row per detail whose parent row was not kept: ``_parent`` is ``orphan``. ``parents``: the staged parent
    table, all states."""
    kept = parents.where(F.col(STATUS) == KEPT).select(digest(parent.columns).alias("_hash"))
    hashed = rows.select(*PLACE, digest(parent.columns).alias("_hash"))
    return hashed.join(kept, "_hash", "left_anti").select(*PLACE, F.lit("orphan").alias("_parent"))
