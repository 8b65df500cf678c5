"""Rows that Spark writes below a table's root become its rows by a commit, and Spark reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.errors import StorageError
from jobs.lake import tables as lake
from jobs.lake.commits import history, live_files, measure
from jobs.lake.maintenance import has_hidden_checkpoint, rewrite_checkpoint
from jobs.lake.waiting import WaitingTable
from jobs.spark.session import safely

COLUMNS = {"id": "bigint", "day": "date", "code": "string"}
SLICES = ("_source", "_period")
BEFORE = "org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory"
"""What encrypted the checkpoints too."""


def waiting(home: Path, writer: str) -> WaitingTable:
    return WaitingTable.of(home, "omop/visit_occurrence", writer, COLUMNS, partition_by=SLICES)


def write(spark: SparkSession, table: WaitingTable, *rows: tuple[int, str, str]) -> dict[str, int]:
    """Rows of (id, source, period)."""
    values = ", ".join(f"({i}L, DATE'2024-01-31', 'c{i}', '{s}', '{p}', true)" for i, s, p in rows)
    frame = spark.sql(f"SELECT * FROM VALUES {values} AS t(id, day, code, _source, _period, _ok_rule)")
    return table.write(frame, [F.count_if("_ok_rule").alias("sound")])


def release(table: WaitingTable, build: int, *slices: tuple[str, str]) -> int:
    return table.commit({"build": build}, replaces=lambda of: (of["_source"], of["_period"]) in slices, claim="release")


def ids(spark: SparkSession, table: WaitingTable, version: int | None = None) -> list[tuple[int, str, str]]:
    rows = lake.read(spark, str(table.root), version).select("id", *SLICES).collect()
    return sorted((r["id"], r["_source"], r["_period"]) for r in rows)


def test_rows_wait_are_counted_and_become_the_tables(spark: SparkSession, tmp_path: Path) -> None:
    first, second = waiting(tmp_path, "build-1-a"), waiting(tmp_path, "build-2-b")
    counted = write(spark, first, (1, "dcir", "2024-01"), (2, "dcir", "2024-02"), (3, "ville", "2024-01"))
    assert counted == {"sound": 3}
    assert (first.rows, sum(f.bytes for f in first.files) > 0) == (3, True)
    assert first.read(spark).columns == [*COLUMNS, *SLICES]
    assert dict(first.read(spark).dtypes)["_period"] == "string"  # a month is no date and no number
    assert history(first.root) == []  # nobody sees them yet
    release(first, 1, ("dcir", "2024-01"), ("dcir", "2024-02"), ("ville", "2024-01"))
    write(spark, second, (4, "dcir", "2024-01"))
    version = release(second, 2, ("dcir", "2024-01"))
    assert ids(spark, first) == [(2, "dcir", "2024-02"), (3, "ville", "2024-01"), (4, "dcir", "2024-01")]
    assert ids(spark, first, version - 1) == [(1, "dcir", "2024-01"), (2, "dcir", "2024-02"), (3, "ville", "2024-01")]
    said = spark.sql(f"DESCRIBE HISTORY delta.`{first.root}` LIMIT 1").first()
    assert said
    assert (said["version"], json.loads(said["userMetadata"])) == (version, {"build": 2})
    assert measure(first.root)[0] == 3
    plan = lake.read(spark, str(first.root)).groupBy().count()._explain_string()
    assert re.search("LocalTableScan|LocalRelation", plan), "the log alone says how many rows there are"


def test_only_data_files_and_their_list_lie_there(spark: SparkSession, tmp_path: Path) -> None:
    table = waiting(tmp_path, "build-1-a")
    write(spark, table, (1, "dcir", "2024-01"))
    names = sorted(p.name for p in table.folder.rglob("*") if p.is_file())
    assert names[0] == "_files.json"
    assert all(name.startswith("part-") and name.endswith(".parquet") for name in names[1:])
    assert len(names) == 2
    assert {p.read_bytes()[:4] for p in table.folder.rglob("*.parquet")} == {b"PARE"}


def test_what_did_not_end_is_not_taken(spark: SparkSession, tmp_path: Path) -> None:
    table = waiting(tmp_path, "build-1-a")
    with pytest.raises(StorageError, match="nothing waits"):
        _ = table.files
    write(spark, table, (1, "dcir", "2024-01"))
    again = waiting(tmp_path, "build-1-b")
    write(spark, again, (1, "dcir", "2024-01"))
    release(again, 1, ("dcir", "2024-01"))
    assert [Path(f.path).parts[1] for f in live_files(table.root)] == ["build-1-b"]


def test_spark_goes_on_where_delta_rs_committed_and_back(spark: SparkSession, tmp_path: Path) -> None:
    table = waiting(tmp_path, "build-1-a")
    write(spark, table, (1, "dcir", "2024-01"))
    release(table, 1, ("dcir", "2024-01"))
    rows = lake.read(spark, str(table.root)).withColumn("id", F.col("id") + 10)
    month = "_source = 'dcir' AND _period = '2024-01'"
    writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", month)
    writer.option("userMetadata", '{"by": "Spark"}').save(str(table.root))
    assert ids(spark, table) == [(11, "dcir", "2024-01")]
    other = waiting(tmp_path, "build-2-b")
    write(spark, other, (2, "dcir", "2024-01"))
    release(other, 2, ("dcir", "2024-01"))
    assert ids(spark, table) == [(2, "dcir", "2024-01")]
    assert [said for _, said in history(table.root, 2)] == [{"build": 2}, {"by": "Spark"}]


def test_the_log_tells_of_the_named_columns_and_files_are_skipped_by_them(spark: SparkSession, tmp_path: Path) -> None:
    columns = {"id": "bigint", "day": "date", "at": "timestamp", "year": "int", "code": "string"}
    month = {"_period": "2024-01"}
    made = WaitingTable.of(
        tmp_path, "ville/encounter", "2024-01-v1-a", columns, partition_by=(*month,), slice=month,
        stats=("day", "at", "year"),
    )  # fmt: skip
    rows = spark.sql(
        """SELECT * FROM VALUES
        (1L, DATE'2024-01-02', TIMESTAMP'2024-01-02 08:30:00.1234', 2024, 'c1'),
        (2L, DATE'2024-01-30', TIMESTAMP'2024-01-30 23:59:59', 2023, 'c2'),
        (3L, NULL, NULL, NULL, 'c3') AS t(id, day, at, year, code)"""
    )
    made.write(rows.coalesce(1))
    (one,) = made.files
    assert one.partition == month
    assert one.extremes == {
        "day": ("2024-01-02", "2024-01-30", 1),
        "at": ("2024-01-02T08:30:00.123Z", "2024-01-30T23:59:59.001Z", 1),
        "year": (2023, 2024, 1),
    }
    made.commit({"step": "test"}, replaces=lambda of: of == month, claim="2024-01")
    several = WaitingTable.of(
        tmp_path, "ville/encounter", "2024-01-v1-b", columns, partition_by=(*month,), slice=month, stats=("day",)
    )
    several.write(rows.repartitionByRange(3, "id"))
    assert sorted(e for f in several.files for e in f.extremes.values()) == [
        ("2024-01-02", "2024-01-02", 0), ("2024-01-30", "2024-01-30", 0),
    ]  # fmt: skip
    assert several.rows == 3
    table = lake.read(spark, str(made.root))
    assert table.columns == [*columns, "_period"]
    assert [r["id"] for r in table.where("day = DATE'2024-01-30'").collect()] == [2]
    (made.root / one.path).unlink()  # whoever opens it fails
    for nothing in ("day > DATE'2024-02-01'", "at < TIMESTAMP'2024-01-01'", "year > 2030"):
        assert table.where(nothing).collect() == [], nothing
    with pytest.raises(StorageError), safely("test"):
        table.where("day = DATE'2024-01-30'").collect()


def checkpoint(spark: SparkSession, table: WaitingTable) -> None:
    """Makes Spark write a checkpoint of the table's log."""
    spark.sql(f"ALTER TABLE delta.`{table.root}` SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    spark.sql(f"ALTER TABLE delta.`{table.root}` UNSET TBLPROPERTIES ('delta.checkpointInterval')")


def test_checkpoints_are_in_clear_and_hold_what_the_log_says(spark: SparkSession, tmp_path: Path) -> None:
    table = waiting(tmp_path, "build-1-a")
    write(spark, table, (1, "dcir", "2024-01"))
    release(table, 1, ("dcir", "2024-01"))
    checkpoint(spark, table)
    files = list((table.root / "_delta_log").glob("*.checkpoint*.parquet"))
    assert files
    assert {f.read_bytes()[:4] for f in files} == {b"PAR1"}
    assert b"c1" not in b"".join(f.read_bytes() for f in files)  # the code of the row
    assert measure(table.root)[0] == 1


def test_an_encrypted_checkpoint_is_named_and_rewritten(spark: SparkSession, tmp_path: Path) -> None:
    table = waiting(tmp_path, "build-1-a")
    write(spark, table, (1, "dcir", "2024-01"))
    release(table, 1, ("dcir", "2024-01"))
    spark.conf.set("parquet.crypto.factory.class", BEFORE)
    try:
        checkpoint(spark, table)
    finally:
        spark.conf.unset("parquet.crypto.factory.class")
    assert has_hidden_checkpoint(table.root)
    with pytest.raises(StorageError, match="checkpoint of its log is encrypted"):
        history(table.root)
    rewrite_checkpoint(spark, table.root)
    assert not has_hidden_checkpoint(table.root)
    assert measure(table.root)[0] == 1
    assert ids(spark, table) == [(1, "dcir", "2024-01")]
