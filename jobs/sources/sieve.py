"""Analysts' filters as data: every rule has a name, and says what it leaves out.

A rule that cannot be evaluated (NULL) leaves nothing out. The published rules ``dpn_qlf <> '71'`` lose every row where
the column is empty; stated the other way round they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.stem import PERIOD

LEFT_OUT = "_left_out"


def with_rules(rows: DataFrame, rules: Mapping[str, Column]) -> DataFrame:
    """Every row, with ``_left_out``: the first rule that leaves it out, NULL when it stays."""
    return rows.withColumn(LEFT_OUT, F.coalesce(*[F.when(rule, F.lit(name)) for name, rule in rules.items()]))


def only_kept(rows: DataFrame) -> DataFrame:
    """The rows that stay."""
    return rows.where(F.col(LEFT_OUT).isNull()).drop(LEFT_OUT)


def to_counts(marked: Mapping[str, DataFrame]) -> DataFrame:
    """One row per table, slice and rule that left something out: ``table``, ``_period``, ``rule``, ``rows``."""
    counts = [
        rows.where(F.col(LEFT_OUT).isNotNull())
        .groupBy(PERIOD, F.col(LEFT_OUT).alias("rule"))
        .agg(F.count("*").alias("rows"))
        .select(F.lit(table).alias("table"), PERIOD, "rule", "rows")
        for table, rows in marked.items()
    ]
    return reduce(DataFrame.unionByName, counts)
