"""What Spark reads and writes of a delivery under other keys than the lake's: landing comes in, quarantine goes out."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.intake.landing import LANDED, QUARANTINE
from jobs.rows.exceptions import PLACE
from schemas.loader import Table


def read_landed(spark: SparkSession, folder: Path, table: Table) -> DataFrame:
    """The landed rows of a table as text, with ``_file`` (the contributor's file name) and ``_row``.

    ``folder``: the delivery's in landing."""
    schema = ", ".join(f"`{c}` string" for c in table.names) + ", _row bigint"
    name = F.col("_metadata.file_name")
    file = F.substring(name, F.lit(1), F.length(name) - len(LANDED))
    return spark.read.schema(schema).parquet(str(folder / table.table)).select("*", file.alias("_file"))


def write_quarantined(landed: DataFrame, refused: DataFrame, folder: Path, table: Table) -> None:
    """Keeps refused rows as they were received, sealed to the stewards' key: this server cannot read them again.

    ``refused``: ``_file, _row, _reason`` of each; ``folder``: the delivery's in quarantine."""
    rows = landed.join(F.broadcast(refused), list(PLACE))
    rows.write.option("parquet.encryption.uniform.key", QUARANTINE).mode("overwrite").parquet(
        str(folder / table.table / "rows")
    )
