"""Output columns: exactly those of the OMOP contract, in its order and types."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.stem import PERIOD, SOURCE
from schemas.loader import load_omop, spark_type

LINEAGE = (SOURCE, PERIOD)


def to_table(rows: DataFrame, table: str, /, lineage: tuple[str, ...] = (), **columns: Column) -> DataFrame:
    """One row of OMOP ``table`` per row: the contract's columns in order, NULL where none is given, then ``lineage``.

    A ``*_source_concept_id`` that is not given is 0, which means "no concept"; an absent foreign key is NULL.
    Raises ``TypeError`` for a column that the table does not have.
    """
    contract = load_omop(table)
    if unknown := columns.keys() - set(contract.names):
        raise TypeError(f"not columns of {table}: {sorted(unknown)}")
    chosen = []
    for column in contract.columns:
        empty = F.lit(0) if column.name.endswith("_source_concept_id") else F.lit(None)
        chosen.append(columns.get(column.name, empty).cast(spark_type(column)).alias(column.name))
    return rows.select(*chosen, *lineage)


def midnight(day: Column) -> Column:
    """00:00:00 of a date: the sources know days only (the session is in UTC)."""
    return day.cast("timestamp")
