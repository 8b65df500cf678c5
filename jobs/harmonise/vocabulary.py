"""The vocabulary tables that the repository carries, as DataFrames."""

from __future__ import annotations

import csv
from functools import cache
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import to_table
from schemas.loader import load_omop
from schemas.mappings import HERE, vocabulary_tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def to_vocabulary(spark: SparkSession) -> dict[str, DataFrame]:
    """The OMOP tables that files of ``schemas/mappings`` hold whole, with OMOP columns and types.

    Data of the package, like the contracts: small enough to travel in the plan.
    """
    return {table: _to_frame(spark, table) for table in vocabulary_tables()}


def _to_frame(spark: SparkSession, table: str) -> DataFrame:
    names = load_omop(table).names
    texts = spark.createDataFrame(list(_rows(table)), ", ".join(f"{n} string" for n in names))
    return to_table(texts, table, (), **{n: F.col(n) for n in names})


@cache
def _rows(table: str) -> tuple[tuple[str | None, ...], ...]:
    names = load_omop(table).names
    with (HERE / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(tuple(row[n] or None for n in names) for row in csv.DictReader(file))
