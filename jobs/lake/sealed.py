"""What Spark reads and writes of a delivery under other keys than the lake's: landing comes in, quarantine goes out."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.intake.landing import LANDED, NOTED_NAME, landed_name, landed_of
from jobs.lake.tables import read_files
from jobs.rows.apart import APART
from jobs.rows.noted import TABLE
from jobs.rows.typed import REASON, ROW, hashed
from jobs.tasks import landed
from jobs.tasks.landed import NOTES, REPORT, Report, Work
from schemas.loader import Column, Table, spark_type


def read_landed(spark: SparkSession, folder: Path, table: Table) -> DataFrame:
    """The landed rows of a table in the lake's types, identifiers as text, with ``_file`` (the contributor's file
    name), ``_row``, ``_reason`` of those that break the contract, and their hashes (``rows.typed.hashed``).

    ``folder``: the delivery's in landing."""
    columns = {c.name: landed_type(c) for c in table.columns} | {ROW: "bigint", REASON: "string"}
    columns |= dict.fromkeys(hashed(table), "bigint")
    name = F.col("_metadata.file_name")
    file = F.substring(name, F.lit(1), F.length(name) - len(landed_name("")))
    return read_files(spark, folder / table.table, columns).select("*", file.alias("_file"))


def noted_path(folder: Path) -> str | None:
    """Where in a delivery's landing the pull noted rows that others tell not to go on; None when there are none."""
    path = folder / NOTED_NAME
    return str(path) if path.exists() else None


def read_noted(spark: SparkSession, folder: Path, table: str) -> DataFrame:
    """What the pull noted of a table, ``rows.apart.APART``."""
    path = noted_path(folder)
    if path is None:
        return spark.createDataFrame([], ", ".join(f"{name} {kind}" for name, kind in APART.items()))
    return read_files(spark, path, {TABLE: "string"} | APART).where(F.col(TABLE) == table).drop(TABLE)


def landed_type(column: Column) -> str:
    """The type of a column in landing, as Spark SQL writes it."""
    return "string" if column.pseudonym else spark_type(column)


def write_landed(spark: SparkSession, work: Work, notes: DataFrame | None) -> list[Report]:
    """Writes the rows of landed files that go on, and seals those that are to be: a Spark task a file.

    ``notes``: ``_file, _row, _reason`` of the rows that others tell not to go on (``rows.apart.to_notes``)."""
    if not work.files:
        return []
    told = spark.createDataFrame([(n, None, None) for n in range(len(work.files))], NOTES)
    if notes is not None:
        files = spark.createDataFrame([(n, file) for n, (_, file) in enumerate(work.files)], "file int, _file string")
        rows = notes.join(F.broadcast(files), "_file").select("file", F.col("_row"), F.col("_reason"))
        told = told.union(rows)
    tasks = told.repartitionById(len(work.files), "file").mapInArrow(partial(landed.write_landed, work), REPORT)
    return [Report(**json.loads(row["report"])) for row in tasks.collect()]


def landed_files(folder: Path, table: Table) -> tuple[tuple[str, str], ...]:
    """Path of each landed file of a table, and the name of the contributor's file whose rows it holds.

    ``folder``: the delivery's in landing."""
    return tuple((str(path), landed_of(path.name)) for path in sorted((folder / table.table).glob(f"*{LANDED}")))


def found_folder(folder: Path, table: Table) -> Path:
    """Where in a delivery's quarantine lies what a stage found. Not all of it is quarantined: see ``quarantine``."""
    return folder / table.table / "rows"
