"""The rows of a table that do not go on to the lake: what each says alone, and what only others know of it.

They are found on hashes, before anything is written, and are few. Each is one row by its place, (``_file``, ``_row``).
This is how Spark finds them, of tables of any size; of small ones the pull does (``jobs.rows.noted``).
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.rows.books import DUPLICATE, QUARANTINED, STATUS
from jobs.rows.noted import CONFLICT, ORPHAN
from jobs.rows.typed import CONTENT, KEY, PARENT
from schemas.loader import Table

PLACE = ("_file", "_row")
APART = {"_file": "string", "_row": "bigint", STATUS: "string", "_reason": "string", "_said": "string"}
"""What is kept of such a row, with Spark's types. ``_said``: the rule of the contract that it breaks by itself."""


def to_apart(landed: DataFrame, table: Table, parents: DataFrame | None = None) -> DataFrame:
    """One row per landed row that does not go on, ``APART``: ``duplicate``, or ``quarantined`` with its reason.

    ``landed``: place, hashes and ``_reason`` of each row, and the columns of its key. ``parents``: ``_key`` of the
    parent table's rows that go on, where it has one.
    """
    found = [landed.where(F.col("_reason").isNotNull()).select(*PLACE, F.col("_reason").alias("_said"))]
    if table.key:
        found.append(to_copies(landed, table))
    if parents is not None:
        found.append(to_orphans(landed, parents))
    nothing = F.lit(None).cast("string")
    columns = ("_said", "_copy", "_orphan")
    together = reduce(DataFrame.unionByName, [_with(kind, columns) for kind in found])
    each = together.groupBy(*PLACE).agg(*[F.max(c).alias(c) for c in columns])
    conflict = F.when(F.col("_copy") == CONFLICT, F.lit(CONFLICT))
    is_copy = F.coalesce(F.col("_copy") == DUPLICATE, F.lit(False))
    return each.select(
        *PLACE,
        F.when(is_copy, F.lit(DUPLICATE)).otherwise(F.lit(QUARANTINED)).alias(STATUS),
        F.when(is_copy, nothing).otherwise(F.coalesce("_said", conflict, "_orphan")).alias("_reason"),
        "_said",
    )


def _with(kind: DataFrame, columns: tuple[str, ...]) -> DataFrame:
    return kind.select(*PLACE, *[c if c in kind.columns else F.lit(None).cast("string").alias(c) for c in columns])


def to_copies(landed: DataFrame, table: Table) -> DataFrame:
    """One row per row that shares its key: ``_copy`` is ``duplicate`` (a later copy, equal in every column that
    reaches the lake) or ``conflict`` (rows of this key differ: none of them can be believed)."""
    repeated = landed.groupBy(KEY).agg(F.count(F.lit(1)).alias("_n")).where("_n > 1").select(KEY)
    suspects = landed.select(*PLACE, *table.key, KEY, CONTENT).join(F.broadcast(repeated), KEY, "left_semi")
    same = Window.partitionBy(*table.key)  # two keys may share a hash
    differ = F.min(CONTENT).over(same) != F.max(CONTENT).over(same)
    ordered = suspects.withColumns({"_differ": differ, "_order": F.row_number().over(same.orderBy(*PLACE))})
    copy = F.when(F.col("_differ"), F.lit(CONFLICT)).when(F.col("_order") > 1, F.lit(DUPLICATE))
    return ordered.withColumn("_copy", copy).where(F.col("_copy").isNotNull()).select(*PLACE, "_copy")


def to_orphans(details: DataFrame, parents: DataFrame) -> DataFrame:
    """One row per detail whose parent row does not go on: ``_parent`` is ``orphan``."""
    named = details.select(*PLACE, PARENT)
    there = parents.select(F.col(KEY).alias(PARENT)).join(named.select(PARENT).distinct(), PARENT, "left_semi")
    return named.join(there, PARENT, "left_anti").select(*PLACE, F.lit(ORPHAN).alias("_orphan"))


def only_going(landed: DataFrame, apart: DataFrame) -> DataFrame:
    """The landed rows that go on to the lake."""
    return landed.join(F.broadcast(apart.select(*PLACE)), list(PLACE), "left_anti")


def to_notes(apart: DataFrame) -> DataFrame:
    """``_file, _row, _reason`` of each row that only other rows tell not to go on. It has a reason when it is to be
    sealed: it keeps the contract and cannot be believed; or, ``duplicate``, it breaks the contract and repeats another
    row, and is counted as that."""
    keeps = F.col("_said").isNull()
    reason = F.when(F.col(STATUS) == QUARANTINED, F.col("_reason")).when(~keeps, F.lit(DUPLICATE))
    return apart.where(keeps | (F.col(STATUS) == DUPLICATE)).select(*PLACE, reason.alias("_reason"))
