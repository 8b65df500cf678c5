"""Rows that wait for their gate under the root of the table whose rows they may become: written once, seen by nobody
until a commit names their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from jobs.errors import StorageError
from jobs.lake.commits import Partition, WrittenFile, commit
from jobs.lake.layout import table_path, waiting_folder
from jobs.lake.tables import read_files
from jobs.spark.session import safely

LIST = "_files.json"
"""Beside the files: path, rows, bytes and partition of each. Without it a step did not end."""
LISTED = TypeAdapter(list[WrittenFile])
ROWS, ENDS = "_written", ("min", "max", "null")
MILLISECOND = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"


@dataclass(frozen=True)
class WaitingTable:
    """What one writer made of one table."""

    root: Path
    """Of the table in the lake."""
    writer: str
    """Names the attempt: no other ever writes into its folder, and a commit may name it for years."""
    columns: Mapping[str, str]
    """Column to type, as Spark SQL writes it, without those of the partition."""
    partition_by: tuple[str, ...] = ()
    """Text columns after the others, by which the table is partitioned."""
    slice: Mapping[str, str] = field(default_factory=dict)
    """The partition of all rows, where they are of one: the rows themselves need not say it."""
    stats: tuple[str, ...] = ()
    """Dates, years and months of which the log may hold the least and the greatest of each file."""

    @classmethod
    def of(cls, lake: Path, name: str, writer: str, columns: Mapping[str, str], **more: Any) -> WaitingTable:
        """Of a table by its one name, ``omop/person``."""
        return cls(Path(table_path(lake, name)), writer, columns, **more)

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return waiting_folder(self.root, self.writer)

    @property
    def all_columns(self) -> dict[str, str]:
        """All columns of the table."""
        return {**self.columns, **dict.fromkeys(self.partition_by, "string")}

    def write(self, rows: DataFrame, counters: Sequence[Column] = ()) -> dict[str, Any]:
        """Writes the table's columns of the rows; answers with ``counters`` over them, by name, from that pass."""
        counted, by = Observation(), [] if self.slice else list(self.partition_by)
        with safely(f"write of {self.root.name}"):
            observed = rows.observe(counted, F.count(F.lit(1)).alias(ROWS), *self._extremes, *counters)
            written = observed.select(*self.columns, *by)
            written.write.mode("overwrite").partitionBy(*by).parquet(str(self.folder))
            counts = dict(counted.get)
            self._list(rows.sparkSession, counts)
            return counts

    def keep(self, files: Iterable[WrittenFile]) -> None:
        """Lists files that others than Spark wrote into the folder; what else lies there was not reported, and goes."""
        listed = [file for file in files if file.rows]
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in {*self.folder.iterdir()} - {self.root / file.path for file in listed}:
            path.unlink()
        (self.folder / LIST).write_bytes(LISTED.dump_json(listed))

    @property
    def is_whole(self) -> bool:
        """Whether the step that writes them ended."""
        return (self.folder / LIST).exists()

    def read(self, spark: SparkSession) -> DataFrame:
        """The rows, as the table will hold them."""
        columns = self.columns if self.slice else self.all_columns
        rows = read_files(spark, self.folder, columns)
        return rows.withColumns({name: F.lit(value) for name, value in self.slice.items()}) if self.slice else rows

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

    def commit(self, metadata: Mapping[str, Any], *, replaces: Callable[[Partition], bool], claim: str) -> int:
        """Makes them rows of the table (``commits.commit``); the version that holds them."""
        return commit(
            self.root,
            self.files,
            self.all_columns,
            metadata,
            replaces=replaces,
            claim=claim,
            partition_by=self.partition_by,
            stats=self.stats,
        )

    @property
    def _extremes(self) -> list[Column]:
        """As a log writes them: of a point in time the millisecond that is not after, or not before it."""
        ends: list[Column] = []
        for c in self.stats:
            low, high = F.min(c), F.max(c)
            if self.columns[c] == "timestamp":
                low, high = (F.date_format(end, MILLISECOND) for end in (low, high + F.expr("INTERVAL '0.001' SECOND")))
            elif self.columns[c] == "date":
                low, high = low.cast("string"), high.cast("string")
            ends += [low.alias(f"_min_{c}"), high.alias(f"_max_{c}"), F.count_if(F.col(c).isNull()).alias(f"_null_{c}")]
        return ends

    def _list(self, spark: SparkSession, counts: dict[str, Any]) -> None:
        """Lists the files with their rows (of one file those that were written, of several as they lie there), and
        removes what Spark leaves beside them."""
        for beside in self.folder.rglob(".*.crc"):
            beside.unlink()
        paths = sorted(self.folder.rglob("part-*.parquet"))
        whole = {name: counts.pop(name) for name in [ROWS, *(f"_{e}_{c}" for c in self.stats for e in ENDS)]}
        each = self._count(spark) if len(paths) > 1 else {str(p.relative_to(self.folder)): whole for p in paths}
        files = [self._file(path, each.get(str(path.relative_to(self.folder)), {})) for path in paths]
        if sum(file.rows for file in files) != whole[ROWS]:
            raise StorageError(f"{self.root.name}: its files do not hold the rows that were written.")
        (self.folder / LIST).write_bytes(LISTED.dump_json([file for file in files if file.rows]))

    def _file(self, path: Path, counts: Mapping[str, Any]) -> WrittenFile:
        told = [c for c in self.stats if counts.get(f"_min_{c}") is not None]
        in_path = dict(part.split("=", 1) for part in path.relative_to(self.folder).parts[:-1])
        return WrittenFile(
            path=str(path.relative_to(self.root)),
            rows=counts.get(ROWS, 0),
            bytes=path.stat().st_size,
            partition=dict(self.slice) or in_path,
            extremes={c: tuple(counts[f"_{e}_{c}"] for e in ENDS) for c in told},
        )

    def _count(self, spark: SparkSession) -> dict[str, dict[str, Any]]:
        path = F.substring_index("_metadata.file_path", f"/{self.writer}/", -1).alias("path")
        rows = F.count(F.lit(1)).alias(ROWS)
        counted = self.read(spark).groupBy(path).agg(rows, *self._extremes).collect()
        return {row["path"]: row.asDict() for row in counted}
