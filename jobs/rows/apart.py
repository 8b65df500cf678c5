"""The rows of a table that do not go on to the lake: what each says alone, and what only others know of it.

They are found on key columns, before anything is written, and are few. Each is one row by its place, (``_file``,
``_row``).
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.rows.books import DUPLICATE, QUARANTINED, STATUS
from schemas.loader import Parent, Table

PLACE = ("_file", "_row")
CONFLICT, ORPHAN = "conflict", "orphan"
APART = {"_file": "string", "_row": "bigint", STATUS: "string", "_reason": "string", "_said": "string"}
"""What is kept of such a row, with Spark's types. ``_said``: the rule of the contract that it breaks by itself."""


def to_apart(landed: DataFrame, table: Table, parents: DataFrame | None = None) -> DataFrame:
    """One row per landed row that does not go on, ``APART``: ``duplicate``, or ``quarantined`` with its reason.

    ``parents``: keys of the parent table's rows that go on, where it has one.
    """
    kinds = [landed.where(F.col("_reason").isNotNull()).select(*PLACE, F.col("_reason").alias("_said"))]
    if table.key:
        kinds.append(to_copies(landed, table))
    if table.parent and parents is not None:
        kinds.append(to_orphans(landed, table.parent, parents))
    nothing = F.lit(None).cast("string")
    columns = ("_said", "_copy", "_parent")
    together = reduce(DataFrame.unionByName, [_with(kind, columns) for kind in kinds])
    each = together.groupBy(*PLACE).agg(*[F.max(c).alias(c) for c in columns])
    conflict = F.when(F.col("_copy") == CONFLICT, F.lit(CONFLICT))
    is_copy = F.coalesce(F.col("_copy") == DUPLICATE, F.lit(False))
    return each.select(
        *PLACE,
        F.when(is_copy, F.lit(DUPLICATE)).otherwise(F.lit(QUARANTINED)).alias(STATUS),
        F.when(is_copy, nothing).otherwise(F.coalesce("_said", conflict, "_parent")).alias("_reason"),
        "_said",
    )


def _with(kind: DataFrame, columns: tuple[str, ...]) -> DataFrame:
    return kind.select(*PLACE, *[c if c in kind.columns else F.lit(None).cast("string").alias(c) for c in columns])


def to_copies(landed: DataFrame, table: Table) -> DataFrame:
    """One row per row that shares its key: ``_copy`` is ``duplicate`` (a later copy, equal in every column that
    reaches the lake) or ``conflict`` (rows of this key differ: none of them can be believed)."""
    hashed = landed.withColumn("_hash", digest(table.key))
    repeated = hashed.groupBy("_hash").agg(F.count(F.lit(1)).alias("_n")).where("_n > 1").select("_hash")
    suspects = hashed.join(F.broadcast(repeated), "_hash", "left_semi")
    content = digest([c.name for c in table.lake_columns])
    same = Window.partitionBy(*table.key)
    return (
        suspects.withColumn("_content", content)
        .withColumn("_differ", F.min("_content").over(same) != F.max("_content").over(same))
        .withColumn("_order", F.row_number().over(same.orderBy(*PLACE)))
        .withColumn("_copy", F.when(F.col("_differ"), F.lit(CONFLICT)).when(F.col("_order") > 1, F.lit(DUPLICATE)))
        .where(F.col("_copy").isNotNull())
        .select(*PLACE, "_copy")
    )


def to_orphans(landed: DataFrame, parent: Parent, parents: DataFrame) -> DataFrame:
    """One row per detail whose parent row does not go on: ``_parent`` is ``orphan``."""
    keys = parents.select(digest(parent.columns).alias("_hash"))
    hashed = landed.select(*PLACE, digest(parent.columns).alias("_hash"))
    return hashed.join(keys, "_hash", "left_anti").select(*PLACE, F.lit(ORPHAN).alias("_parent"))


def only_going(landed: DataFrame, apart: DataFrame) -> DataFrame:
    """The landed rows that go on to the lake."""
    return landed.join(F.broadcast(apart.select(*PLACE)), list(PLACE), "left_anti")


def to_found(apart: DataFrame) -> DataFrame:
    """``_file, _row, _reason`` of each row that keeps the contract and cannot be believed, with the reason; and of each
    that breaks the contract and repeats another row, with ``duplicate``: it is counted as that."""
    keeps = F.col("_said").isNull()
    reason = F.when((F.col(STATUS) == QUARANTINED) & keeps, F.col("_reason"))
    reason = reason.when((F.col(STATUS) == DUPLICATE) & ~keeps, F.lit(DUPLICATE))
    return apart.select(*PLACE, reason.alias("_reason")).where(F.col("_reason").isNotNull())


def digest(names: tuple[str, ...] | list[str]) -> Column:
    """64-bit hash of some columns. Two different keys share one with probability n^2 / 2^65."""
    return F.xxhash64(*[F.col(n) for n in names])
