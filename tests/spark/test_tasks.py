"""The wide pass of the stage as Spark's tasks do it: landed files in, files that wait and sealed rows out."""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import keys
from jobs.errors import HubError, KeyRefused, ServerUnavailable, StorageError
from jobs.intake import landing
from jobs.intake.landing import EncryptedParquet, Landed, read_encrypted, sealed_to
from jobs.lake.commits import WrittenFile
from jobs.lake.sealed import landed_files, write_landed
from jobs.lake.waiting import WaitingTable
from jobs.quality.rule import Rule
from jobs.rows.noted import NOTED
from jobs.rows.pseudonymised import content_sum
from jobs.rows.typed import typed_schema
from jobs.settings import Settings
from jobs.spark.session import safely
from jobs.tasks.landed import Report, Work
from schemas.loader import Table
from tests.unit.typing_kit import TEXT, column, typed

LINES = Table.model_validate(
    {
        "table": "line",
        "title": TEXT,
        "row": TEXT,
        "key": ["ORD"],
        "stats": ["DAY"],
        "column": [
            column("ORD", type="integer", required=True),
            column("WHO", pseudonym="person"),
            column("DAY", type="date"),
            column("EUR", type="decimal", precision=9, scale=2),
            column("NOTE", keep=False),
        ],
    }
)
LAKE = {"ORD": "int", "WHO": "binary", "DAY": "date", "EUR": "decimal(9,2)", "_file": "string", "_row": "bigint"}
RULE = Rule.model_validate(
    {"table": "x/line", "id": "T-1", "kind": "between", "column": "EUR", "min": 0, "severity": "critical", "why": TEXT}
)
SENT = {
    "a.csv": [
        ("1", "ABC", "30/01/2024", "12.50", "n1"),
        ("x", "ABC", "30/01/2024", "1", "n2"),
        ("3", "ABC", "31/01/2024", "-1", "n3"),
        ("4", "", "", "", "n4"),
        ("4", "DEF", "", "", "n5"),
    ],
    "b.csv": [("6", "DEF", "01/02/2024", "0.01", "n6"), ("7", "DEF", "", "-0.01", "n7")],
    "none.csv": [],
    "refused.csv": [("y", "", "", "", "n8")],
}
NOTES = [("a.csv", 4, "conflict"), ("a.csv", 5, "conflict"), ("b.csv", 2, None)]


@pytest.fixture
def work(spark_hub: Settings, tmp_path: Path) -> Work:
    """Some landed files, and what is to be done with them."""
    wrap = sealed_to(keys.read_public_key(spark_hub.keys / "public" / "landing.pub.pem"))
    for file, rows in SENT.items():
        with Landed(tmp_path / "landing" / "line", file, typed_schema(LINES), wrap) as landed:
            landed.write(typed(LINES, rows).rows)
    checks = {
        "p2": keys.check_value(keys.read_key(spark_hub.keys / "hub" / "p2.key")),
        "lake": keys.check_value(keys.read_key(spark_hub.keys / "hub" / "lake.key")),
        "landing": keys.public_check_value(keys.read_public_key(spark_hub.keys / "public" / "landing.pub.pem")),
    }
    return Work(
        table=LINES,
        rules=(RULE,),
        period="2024-01",
        files=landed_files(tmp_path / "landing", LINES),
        noted=None,
        target=str(waiting(tmp_path).folder),
        sealed=str(tmp_path / "sealed"),
        checks=checks,
    )


def waiting(home: Path) -> WaitingTable:
    month = {"_period": "2024-01"}
    return WaitingTable.of(home, "x/line", "w-1", LAKE, partition_by=(*month,), slice=month, stats=LINES.stats)


def noted(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(NOTES, "_file string, _row bigint, _reason string")


def keep(made: WaitingTable, reports: list[Report]) -> None:
    below = made.folder.relative_to(made.root)
    made.keep(WrittenFile(path=str(below / r.file), rows=r.rows, bytes=r.bytes) for r in reports)


def test_rows_that_go_on_are_written_once_and_counted_and_the_others_sealed(
    spark: SparkSession, spark_hub: Settings, work: Work, tmp_path: Path
) -> None:
    reports = dict(zip(SENT, write_landed(spark, work, noted(spark)), strict=True))
    assert {file: r.rows for file, r in reports.items()} == {"a.csv": 2, "b.csv": 1, "none.csv": 0, "refused.csv": 0}
    assert reports["a.csv"].counts == {"_rows": 2, "v/T-1": 1, "d/EUR": 2}
    assert reports["refused.csv"].counts == {"_rows": 0, "v/T-1": 0, "d/EUR": 0}
    assert reports["a.csv"].extremes == {"DAY": ["2024-01-30", "2024-01-31", 0]}
    made = waiting(tmp_path)
    keep(made, list(reports.values()))
    assert {p.name for p in made.folder.iterdir()} == {"_files.json", reports["a.csv"].file, reports["b.csv"].file}
    assert all(p.read_bytes()[:4] == b"PARE" for p in made.folder.glob("*.parquet"))
    k2 = keys.read_key(spark_hub.keys / "hub" / "p2.key")
    abc, other = (hmac.digest(k2, b"hub/p2/v1\0person\0" + who, "sha256") for who in (b"ABC", b"DEF"))
    rows = [tuple(r) for r in made.read(spark).orderBy("ORD").select("ORD", "WHO", "DAY", "_file", "_row").collect()]
    assert rows == [
        (1, abc, date(2024, 1, 30), "a.csv", 1),
        (3, abc, date(2024, 1, 31), "a.csv", 3),
        (6, other, date(2024, 2, 1), "b.csv", 1),
    ]
    kept = pa.concat_tables([typed(LINES, SENT["a.csv"]).rows.take(pa.array([0, 2]))])
    assert reports["a.csv"].content == content_sum(kept, k2)
    (sealed,) = (tmp_path / "sealed").iterdir()
    assert sealed.name == reports["a.csv"].sealed
    steward = keys.read_private_key(spark_hub.keys / "steward" / "quarantine.pem")
    found = read_encrypted(sealed, steward).select(["ORD", "WHO", "NOTE", "_file", "_row", "_reason"])
    assert [tuple(r.values()) for r in found.to_pylist()] == [
        (4, None, "n4", "a.csv", 4, "conflict"),
        (4, "DEF", "n5", "a.csv", 5, "conflict"),
    ]


def test_what_the_pull_noted_is_neither_written_nor_lost(
    spark: SparkSession, spark_hub: Settings, work: Work, tmp_path: Path
) -> None:
    rows = [
        ("line", "a.csv", 4, "quarantined", "conflict", None),
        ("line", "b.csv", 2, "duplicate", None, None),
        ("line", "refused.csv", 1, "duplicate", None, "unparsable:ORD"),
        ("other", "a.csv", 1, "duplicate", None, None),
    ]
    path = tmp_path / "noted.parquet"
    wrap = sealed_to(keys.read_public_key(spark_hub.keys / "public" / "landing.pub.pem"))
    with EncryptedParquet(path, NOTED, wrap, "landing") as file:
        file.write(pa.Table.from_pylist([dict(zip(NOTED.names, row, strict=True)) for row in rows], NOTED))
    reports = dict(zip(SENT, write_landed(spark, replace(work, noted=str(path)), None), strict=True))
    assert {file: r.rows for file, r in reports.items()} == {"a.csv": 3, "b.csv": 1, "none.csv": 0, "refused.csv": 0}
    steward = keys.read_private_key(spark_hub.keys / "steward" / "quarantine.pem")
    sealed = [read_encrypted(p, steward).to_pylist() for p in (tmp_path / "sealed").iterdir()]
    assert sorted((r["_file"], r["_row"], r["_reason"]) for of in sealed for r in of) == [
        ("a.csv", 4, "conflict"),
        ("refused.csv", 1, "duplicate"),
    ]


def test_a_large_file_is_landed_in_parts_and_each_is_a_task(
    spark: SparkSession, spark_hub: Settings, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "PART_ROWS", 2)
    wrap = sealed_to(keys.read_public_key(spark_hub.keys / "public" / "landing.pub.pem"))
    rows = typed(LINES, SENT["a.csv"]).rows
    with Landed(tmp_path / "parts" / "line", "a.b.csv", typed_schema(LINES), wrap) as landed:
        for at in range(rows.num_rows):
            landed.write(rows[at : at + 1])
    files = landed_files(tmp_path / "parts", LINES)
    assert [(Path(path).name, file) for path, file in files] == [
        ("a.b.csv.0000.parquet", "a.b.csv"),
        ("a.b.csv.0001.parquet", "a.b.csv"),
        ("a.b.csv.0002.parquet", "a.b.csv"),
    ]
    notes = spark.createDataFrame([("a.b.csv", 5, "conflict")], "_file string, _row bigint, _reason string")
    reports = write_landed(spark, replace(work, files=files), notes)
    assert [r.rows for r in reports] == [1, 2, 0]
    assert [r.sealed is not None for r in reports] == [False, False, True]
    keep(waiting(tmp_path), reports)
    written = waiting(tmp_path).read(spark).select("_file", "_row").collect()
    assert sorted(map(tuple, written)) == [("a.b.csv", 1), ("a.b.csv", 3), ("a.b.csv", 4)]


def test_what_no_task_reported_is_removed(spark: SparkSession, work: Work, tmp_path: Path) -> None:
    """A task that is repeated writes under another name."""
    first = write_landed(spark, work, None)
    again = write_landed(spark, work, None)
    assert {r.content for r in first} == {r.content for r in again}
    made = waiting(tmp_path)
    assert len(list(made.folder.glob("*.parquet"))) == 4
    keep(made, again)
    assert {p.name for p in made.folder.glob("*.parquet")} == {r.file for r in again if r.rows}
    assert made.rows == 6


@pytest.mark.parametrize("name", ["p2", "lake", "landing"])
def test_keys_that_are_not_the_registered_ones_are_refused_before_anything_is_read(
    spark: SparkSession, work: Work, name: str, tmp_path: Path
) -> None:
    other = replace(work, checks={**work.checks, name: "0123456789abcdef"})
    with pytest.raises(KeyRefused, match=f"HUB_KEY_OTHER: {name} of the Spark server is not"), safely("stage"):
        write_landed(spark, other, None)
    assert not Path(work.target).exists()


def test_a_server_with_other_code_refuses(spark: SparkSession, work: Work) -> None:
    with pytest.raises(ServerUnavailable, match="started with other code") as refused, safely("stage"):
        write_landed(spark, replace(work, code="0123456789abcdef"), None)
    assert refused.value.reason == "code_other"
    assert not Path(work.target).exists()


def test_workers_are_forked_from_a_process_that_has_loaded_tasks(spark: SparkSession) -> None:
    def parent(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        command = Path(f"/proc/{os.getppid()}/cmdline").read_text()
        yield pa.RecordBatch.from_pylist([{"command": command, "loaded": "jobs.tasks.landed" in sys.modules}])

    (seen,) = spark.range(1).coalesce(1).mapInArrow(parent, "command string, loaded boolean").collect()
    assert "jobs.tasks.daemon" in seen["command"]
    assert seen["loaded"]


def test_a_file_that_cannot_be_read_fails_the_step_and_lists_nothing(
    spark: SparkSession, work: Work, tmp_path: Path
) -> None:
    path = Path(work.files[0][0])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(HubError) as failed, safely("stage"):
        write_landed(spark, work, None)
    assert isinstance(failed.value, StorageError)
    assert not waiting(tmp_path).is_whole
