"""A table that waits for its gate: plain encrypted Parquet. Nobody reads it before its step is recorded, a repeated
step replaces it, and a table's log would cost more than small rows do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from jobs.delivery import DeliveryId, Subject
from jobs.lake.layout import staging
from jobs.rows.books import KEPT, STATUS
from jobs.rows.exceptions import PLACE
from jobs.rows.state import with_state
from jobs.spark.session import safely
from schemas.loader import Table


@dataclass(frozen=True)
class StagedTable:
    """One table that waits for its gate: its rows, written once, and beside them what others make of a few of them."""

    place: Path
    contract: Table | None = None
    """That of a contributor's table, whose rows have states; None for a table that a build makes."""

    @classmethod
    def of_delivery(cls, lake: Path, delivery: DeliveryId, contract: Table) -> Self:
        """A table of a delivery."""
        return cls(staging(lake, Subject(delivery)) / contract.table, contract)

    @classmethod
    def of_build(cls, lake: Path, build: int, name: str) -> Self:
        """A table of a build: ``omop/person``, ``stem/dcir``, ``evidence``."""
        return cls(staging(lake, Subject(build=build)) / name)

    @property
    def has_exceptions(self) -> bool:
        """Whether a row can be an exception for another's sake: a copy by its key, a detail by its parent."""
        return bool(self.contract and (self.contract.key or self.contract.parent))

    def write_rows(
        self, rows: DataFrame, counters: Sequence[Column] = (), *, without: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Writes the rows, ``without`` these columns; answers with ``counters`` over them, by name, from that pass."""
        return self._write(rows, self._rows, counters, without)

    def write_exceptions(self, exceptions: DataFrame) -> int:
        """Writes the exceptions, as ``to_exceptions`` gives them, in one file; the number of them."""
        number = F.count(F.lit(1)).alias("number")
        return int(self._write(exceptions.coalesce(1), self._exceptions, [number])["number"])

    def read_rows(self, spark: SparkSession) -> DataFrame:
        """The rows as they were written: as each says alone."""
        return spark.read.parquet(self._rows)

    def read_exceptions(self, spark: SparkSession) -> DataFrame:
        """One row per row that others make an exception."""
        return spark.read.parquet(self._exceptions)

    def read_few(self, spark: SparkSession) -> DataFrame:
        """The rows that others make an exception of, as each says alone, with what others made of them."""
        return self.read_rows(spark).join(F.broadcast(self.read_exceptions(spark)), list(PLACE))

    def read(self, spark: SparkSession) -> DataFrame:
        """The rows with their states, as ``with_state`` gives them; of a build's table, its rows."""
        rows = self.read_rows(spark)
        if self.contract is None:
            return rows
        if self.has_exceptions:
            rows = rows.join(F.broadcast(self.read_exceptions(spark)), list(PLACE), "left")
        return with_state(rows, self.contract)

    def read_kept(self, spark: SparkSession) -> DataFrame:
        """The rows of a contributor's table that go on to the lake."""
        return self.read(spark).where(F.col(STATUS) == KEPT)

    @property
    def _rows(self) -> str:
        return str(self.place / "rows")

    @property
    def _exceptions(self) -> str:
        return str(self.place / "exceptions")

    def _write(
        self, rows: DataFrame, where: str, counters: Sequence[Column], without: Sequence[str] = ()
    ) -> dict[str, Any]:
        counted = Observation()
        with safely(f"staging of {self.place.name}"):
            observed = rows.observe(counted, *counters) if counters else rows
            observed.drop(*without).write.mode("overwrite").parquet(where)
            return dict(counted.get) if counters else {}
