"""What Spark reads and writes of a delivery under other keys than the lake's: landing comes in, quarantine goes out."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.intake.landing import LANDED, QUARANTINE
from jobs.lake.tables import read_files
from jobs.rows.apart import PLACE
from schemas.loader import Column, Table, spark_type


def read_landed(spark: SparkSession, folder: Path, table: Table) -> DataFrame:
    """The landed rows of a table in the lake's types, identifiers as text, with ``_file`` (the contributor's file
    name), ``_row``, and ``_reason`` of those that break the contract.

    ``folder``: the delivery's in landing."""
    columns = {c.name: landed_type(c) for c in table.columns} | {"_row": "bigint", "_reason": "string"}
    name = F.col("_metadata.file_name")
    file = F.substring(name, F.lit(1), F.length(name) - len(LANDED))
    return read_files(spark, folder / table.table, columns).select("*", file.alias("_file"))


def landed_type(column: Column) -> str:
    """The type of a column in landing, as Spark SQL writes it."""
    return "string" if column.pseudonym else spark_type(column)


def write_quarantined(landed: DataFrame, found: DataFrame, folder: Path, table: Table) -> None:
    """Keeps landed rows, sealed to the stewards' key: this server cannot read them again.

    ``found``: ``_file, _row, _reason`` of each; ``folder``: the delivery's in quarantine."""
    rows = landed.drop("_reason").join(F.broadcast(found), list(PLACE))
    rows.write.option("parquet.encryption.uniform.key", QUARANTINE).mode("overwrite").parquet(
        str(found_folder(folder, table))
    )


def found_folder(folder: Path, table: Table) -> Path:
    """Where in a delivery's quarantine lies what a stage found. Not all of it is quarantined: see ``quarantine``."""
    return folder / table.table / "rows"
