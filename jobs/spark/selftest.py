"""The start-up self-test: refuses to run when what the server writes is not encrypted."""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from jobs.errors import StorageError
from jobs.settings import Settings
from jobs.spark.session import safely

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ENCRYPTED = b"PARE"


def prove_encrypted(spark: SparkSession, settings: Settings) -> None:
    """Writes a canary as a Delta table and as a sealed file; raises ``StorageError`` unless every data file begins
    with ``PARE`` and no byte shows the canary. Per-write options are ignored in silence, so look at the bytes."""

    folder = settings.lake / "staging" / f"selftest-{secrets.token_hex(4)}"
    canary = f"canary-{secrets.token_hex(12)}"
    try:
        with safely("self-test"):
            rows = spark.range(1).select(F.lit(canary).alias("text"))
            rows.write.format("delta").save(str(folder / "delta"))
            rows.write.option("parquet.encryption.uniform.key", "quarantine").parquet(str(folder / "sealed"))
        files = [f for f in folder.rglob("*.parquet") if f.is_file()]
        for file in files:
            if file.read_bytes()[:4] != ENCRYPTED:
                raise StorageError(
                    "The Spark server writes files in clear.", next_step="check its Parquet key provider"
                )
        shown = [f for f in folder.rglob("*") if f.is_file() and canary.encode() in f.read_bytes()]
        if len(files) < 2 or shown:
            raise StorageError(
                "The Spark server's files show what they hold.", next_step="check its Parquet key provider"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
