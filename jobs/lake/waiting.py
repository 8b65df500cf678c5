"""Rows that wait for their gate under the root of the table whose rows they may become: written once, seen by nobody
until a commit names their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from jobs.errors import StorageError
from jobs.lake.commits import WrittenFile
from jobs.lake.layout import table_path, waiting_folder
from jobs.spark.session import safely

LIST = "_files.json"
"""Beside the files: path, rows, bytes and partition of each. Without it a step did not end."""
WRITTEN = "_written"
LISTED = TypeAdapter(list[WrittenFile])


@dataclass(frozen=True)
class WaitingTable:
    """What one writer made of one table."""

    root: Path
    """Of the table in the lake."""
    writer: str
    """Names the attempt: no other ever writes into its folder, and a commit may name it for years."""
    columns: Mapping[str, str]
    """Column to type, as Spark SQL writes it; those of the partition last."""
    partition_by: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, lake: Path, name: str, writer: str, columns: Mapping[str, str], partition_by: Sequence[str] = ()
    ) -> WaitingTable:
        """Of a table by its one name, ``omop/person``; ``partition_by``: text columns, added after ``columns``."""
        whole = {**columns, **dict.fromkeys(partition_by, "string")}
        return cls(Path(table_path(lake, name)), writer, whole, tuple(partition_by))

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return waiting_folder(self.root, self.writer)

    def write(self, rows: DataFrame, counters: Sequence[Column] = ()) -> dict[str, Any]:
        """Writes the table's columns of the rows; answers with ``counters`` over them, by name, from that pass."""
        counted = Observation()
        with safely(f"write of {self.root.name}"):
            observed = rows.observe(counted, F.count(F.lit(1)).alias(WRITTEN), *counters)
            written = observed.select(*self.columns)
            written.write.mode("overwrite").partitionBy(*self.partition_by).parquet(str(self.folder))
            counts = dict(counted.get)
            self._list(rows.sparkSession, int(counts.pop(WRITTEN)))
            return counts

    def read(self, spark: SparkSession) -> DataFrame:
        """The rows, as the table will hold them."""
        schema = ", ".join(f"`{name}` {kind}" for name, kind in self.columns.items())
        return spark.read.schema(schema).parquet(str(self.folder))

    @property
    def files(self) -> list[WrittenFile]:
        """The files that hold rows. Raises ``StorageError`` when the step that writes them did not end."""
        try:
            return LISTED.validate_json((self.folder / LIST).read_bytes())
        except OSError:
            raise StorageError(
                f"{self.root.name}: nothing waits here.", next_step="run the step that writes it again"
            ) from None

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return sum(file.rows for file in self.files)

    def _list(self, spark: SparkSession, rows: int) -> None:
        """Lists the files with their rows (of one file all, of several as their footers say), and removes what Spark
        leaves beside them."""
        for beside in self.folder.rglob(".*.crc"):
            beside.unlink()
        paths = sorted(self.folder.rglob("part-*.parquet"))
        counts = self._count(spark) if len(paths) > 1 else {str(p.relative_to(self.folder)): rows for p in paths}
        files = []
        for path in paths:
            below = path.relative_to(self.folder)
            files.append(
                WrittenFile(
                    path=str(path.relative_to(self.root)),
                    rows=counts.get(str(below), 0),
                    bytes=path.stat().st_size,
                    partition=dict(part.split("=", 1) for part in below.parts[:-1]),
                )
            )
        listed = [file for file in files if file.rows]
        if sum(file.rows for file in listed) != rows:
            raise StorageError(f"{self.root.name}: its files do not hold the rows that were written.")
        (self.folder / LIST).write_bytes(LISTED.dump_json(listed))

    def _count(self, spark: SparkSession) -> dict[str, int]:
        path = F.substring_index("_metadata.file_path", f"/{self.writer}/", -1)
        counted = self.read(spark).groupBy(path.alias("path")).count().collect()
        return {row["path"]: row["count"] for row in counted}
