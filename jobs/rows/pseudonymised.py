"""From landed rows to the lake's columns: what is left to do where the keys are."""

from __future__ import annotations

from pyspark.sql import Column as C
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.rows.apart import PLACE, digest
from jobs.spark.functions import PSEUDONYM
from schemas.loader import Column, Table


def pseudonymised(landed: DataFrame, table: Table) -> DataFrame:
    """One row per landed row: the lake's columns with pseudonyms in place of identifiers, ``_file``, ``_row``, and
    ``_content``, a 64-bit hash of the lake's columns."""
    names = [c.name for c in table.lake_columns]
    rows = landed.select(*[_lake_value(c) for c in table.lake_columns], *PLACE)
    return rows.withColumn("_content", digest(names))


def _lake_value(column: Column) -> C:
    value = F.col(column.name)
    if column.pseudonym is None:
        return value
    return F.call_function(PSEUDONYM, F.lit(column.pseudonym), value).alias(column.name)
