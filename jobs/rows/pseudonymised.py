"""From landed rows to the lake's columns: what is left to do where the keys are."""

from __future__ import annotations

from pyspark.sql import Column as C
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.rows.exceptions import PLACE
from jobs.spark.functions import PSEUDONYM
from schemas.loader import Column, Table


def pseudonymised(landed: DataFrame, table: Table) -> DataFrame:
    """One row per landed row: the lake's columns with pseudonyms in place of identifiers, ``_file``, ``_row``,
    ``_reason``, and ``_content``, a 64-bit hash of the lake's columns."""
    names = [c.name for c in table.lake_columns]
    return landed.select(*[_lake_value(c) for c in table.lake_columns], *PLACE, "_reason").withColumn(
        "_content", F.xxhash64(*names)
    )


def _lake_value(column: Column) -> C:
    value = F.col(column.name)
    if column.pseudonym is None:
        return value
    return F.call_function(PSEUDONYM, F.lit(column.pseudonym), value).alias(column.name)
