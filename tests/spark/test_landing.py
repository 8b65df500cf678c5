"""Landed files as the Spark server reads them: the values that the pull made, of every type, in any year."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.intake.landing import LANDING, EncryptedParquet, landed_name, sealed_to
from jobs.keys import read_public_key
from jobs.lake.sealed import read_landed
from jobs.rows.typed import typed_schema
from jobs.settings import Settings
from tests.unit.typing_kit import column, contract, typed

EVERY = contract(
    column("WHO", pseudonym="person"),
    column("TEXT"),
    column("SMALL", type="integer"),
    column("LARGE", type="bigint"),
    column("MONEY", type="decimal", precision=9, scale=2),
    column("WIDE", type="decimal", precision=24, scale=4),
    column("RATE", type="double"),
    column("IS", type="boolean"),
    column("DAY", type="date"),
    column("AT", type="datetime"),
)


def test_every_type_comes_out_of_landing_as_it_went_in(
    spark: SparkSession, spark_hub: Settings, tmp_path: Path
) -> None:
    numbers = ("-7", "9000000000", "-1.50", "12345678901234567890.1234", "0.1", "1")
    sent = [
        ("abc", "é", *numbers, "29/02/2024", "2024-02-29T23:59:59"),
        ("",) * 10,
        ("x", "y", *["x"] * 6, "01/01/0001", "1500-01-01T00:00:00"),
    ]
    made = typed(EVERY, sent).rows
    content = made["_content"].to_pylist()
    key = read_public_key(spark_hub.keys / "public" / "landing.pub.pem")
    with EncryptedParquet(tmp_path / "t" / landed_name("A.csv"), typed_schema(EVERY), sealed_to(key), LANDING) as file:
        file.write(made)
    rows = read_landed(spark, tmp_path, EVERY).orderBy("_row")
    first, empty = (tuple(row) for row in rows.where("_row < 3").collect())
    assert first == (
        *("abc", "é", -7, 9_000_000_000, Decimal("-1.50"), Decimal("12345678901234567890.1234"), 0.1, True),
        *(date(2024, 2, 29), datetime.fromisoformat(sent[0][-1]), 1, None, content[0], "A.csv"),
    )
    assert empty == (*[None] * 10, 2, None, content[1], "A.csv")
    odd = rows.where("_row = 3").select("SMALL", "MONEY", F.year("DAY"), F.dayofyear("DAY"), F.year("AT"), "_reason")
    assert tuple(odd.collect()[0]) == (None, None, 1, 1, 1500, "unparsable:SMALL")
