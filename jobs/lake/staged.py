"""What a step keeps for the next one: plain encrypted Parquet. Nobody reads it before its step is recorded, a repeated
step replaces it, and a table's log would cost more than small rows do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from jobs.delivery import DeliveryId, Subject
from jobs.lake.layout import staging
from jobs.lake.tables import read_files
from jobs.rows.apart import APART
from jobs.spark.session import safely


@dataclass(frozen=True)
class StagedTable:
    """Rows of one shape that a step keeps."""

    place: Path
    columns: Mapping[str, str]
    """Column to type, as Spark SQL writes it."""
    partition_by: tuple[str, ...] = ()
    """Text columns of these by which the files lie apart: a reader of one value reads no other."""

    @classmethod
    def apart(cls, lake: Path, delivery: DeliveryId, table: str) -> Self:
        """The rows of a delivery's table that do not go on (``rows.apart``)."""
        return cls(staging(lake, Subject(delivery)) / table, APART)

    @classmethod
    def of_build(cls, lake: Path, build: int, name: str, columns: Mapping[str, str], **more: Any) -> Self:
        """What a build makes on its way: ``persons``, ``events``."""
        return cls(staging(lake, Subject(build=build)) / name, columns, **more)

    def write(self, rows: DataFrame) -> int:
        """Writes the rows; how many they are."""
        with safely(f"staging of {self.place.name}"):
            counted, count = Observation(), F.count(F.lit(1)).alias("rows")
            written = rows.select(*self.columns).observe(counted, count).write.mode("overwrite")
            written.partitionBy(*self.partition_by).parquet(str(self.place))
            return int(counted.get["rows"])

    def read(self, spark: SparkSession) -> DataFrame:
        """The rows as they were written."""
        return read_files(spark, self.place, self.columns)
