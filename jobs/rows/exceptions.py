"""What a row cannot know alone: is it a copy, has it a parent, was it reversed?

Each function looks at key columns only and returns exceptions: one row per (``_file``, ``_row``) whose state others
change. Exceptions are few; they lie beside the rows, which are written once.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.rows.books import DUPLICATE, KEPT, SETTLED, STATUS
from schemas.loader import Parent, Settle, Table, spark_type

PLACE = ("_file", "_row")


def digest(names: tuple[str, ...] | list[str]) -> Column:
    """64-bit hash of some columns. Two different keys share one with probability n^2 / 2^65."""
    return F.xxhash64(*[F.col(n) for n in names])


def to_exceptions(rows: DataFrame, table: Table, parent: DataFrame | None) -> DataFrame:
    """One row per row that is an exception for another's sake, with the columns of ``to_copies``, ``to_orphans`` and
    ``to_reversals``. ``parent``: the staged parent table with its states, if any."""
    kinds = []
    if table.key:
        kinds.append(copies := to_copies(rows, table.key))
        if table.settle:
            kinds.append(to_reversals(rows, table, table.settle, copies))
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
    """One row per detail whose parent row was not kept: ``_parent`` is ``settled`` when the parent was reversed,
    otherwise ``orphan``. ``parents``: the staged parent table, all states."""
    states = parents.groupBy(digest(parent.columns).alias("_hash")).agg(
        F.bool_or(F.col(STATUS) == KEPT).alias("_kept"),
        F.bool_or(F.col(STATUS) == SETTLED).alias("_settled"),
    )
    return (
        rows.select(*PLACE, digest(parent.columns).alias("_hash"))
        .join(states, "_hash", "left")
        .where(~F.coalesce("_kept", F.lit(False)))
        .select(*PLACE, F.when(F.coalesce("_settled", F.lit(False)), SETTLED).otherwise("orphan").alias("_parent"))
    )


def to_reversals(rows: DataFrame, table: Table, settle: Settle, copies: DataFrame) -> DataFrame:
    """One row per line of an act that has a cancelling line: ``_settled`` is true for all of them, except for one line
    of an act whose quantities still sum above zero; that line takes the sums (``_sum_<column>``).

    Where a sum is larger than its column can hold, no line of the act can be believed: all of them carry the reason
    (``_overflow``) and nothing is settled. Lines are of one act when they are equal in ``settle.group``; copies and
    rows that break the contract take no part.
    Source: regularisations of the DCIR (a cancellation repeats the line with a negative quantity).
    """
    sound = rows.where(F.col("_reason").isNull()).withColumn("_hash", digest(settle.group))
    negative = sound.where(F.col(settle.quantity) < 0).select("_hash").distinct()
    lines = sound.join(F.broadcast(negative), "_hash", "left_semi").join(
        F.broadcast(copies.select(*PLACE)), list(PLACE), "left_anti"
    )
    act = Window.partitionBy(*settle.group)
    latest = act.orderBy((F.col(settle.quantity) > 0).desc(), F.col("_row").desc(), F.col("_file").desc())
    types = {name: spark_type(table.column(name)) for name in (settle.quantity, *settle.sums)}
    summed = lines.select(
        *PLACE,
        F.min(settle.quantity).over(act).alias("_least"),
        F.row_number().over(latest).alias("_order"),
        *[F.try_sum(name).over(act).try_cast(kind).alias(f"_sum_{name}") for name, kind in types.items()],
        *[F.count(name).over(act).alias(f"_n_{name}") for name in types],
    )
    remains = F.col(f"_sum_{settle.quantity}") > 0  # of an act that is reversed altogether, no sum is taken
    beyond = [
        F.when(
            F.col(f"_sum_{n}").isNull() & (F.col(f"_n_{n}") > 0) & (F.lit(n == settle.quantity) | remains),
            F.lit(f"overflow:{n}"),
        )
        for n in types
    ]
    return (
        summed.where("_least < 0")
        .withColumn("_overflow", F.coalesce(*beyond))
        .select(
            *PLACE,
            F.when(F.col("_overflow").isNull(), (F.col("_order") > 1) | (F.col(f"_sum_{settle.quantity}") <= 0)).alias(
                "_settled"
            ),
            *[f"_sum_{name}" for name in types],
            "_overflow",
        )
    )
