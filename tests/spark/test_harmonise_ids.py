"""Ids: stable, positive, apart for different keys; natural keys hold nothing in clear."""

from __future__ import annotations

import hashlib

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.ids import event_id, natural_key, person_id, to_id, visit_id

GOLDEN_KEY = hashlib.sha256(b"7031\x1fvisit\x1f\x00\x1f7").hexdigest()
GOLDEN_IDS = (8407269844527045976, 4704102696955487297, 3366741590056790159, 1392647637501226331)


def test_ids_are_what_they_were_yesterday(spark: SparkSession) -> None:
    """Golden values: a change here changes every id in every lake."""
    row = spark.range(1).select(
        natural_key(F.lit("p1").cast("binary"), F.lit("visit"), F.lit(None), F.lit(7)).alias("key"),
        person_id(F.lit("p1").cast("binary")).alias("person"),
        event_id(F.lit("drug"), F.lit("dcir"), F.lit("k"), F.lit(0)).alias("event"),
        event_id(F.lit("drug"), F.lit("dcir"), F.lit("k"), F.lit(1)).alias("second_target"),
        visit_id(F.lit("dcir"), F.lit("k")).alias("visit"),
        visit_id(F.lit("dcir"), F.lit(None).cast("string")).alias("no_visit"),
    )
    assert row.first() == (GOLDEN_KEY, *GOLDEN_IDS, None)


def test_ids_are_positive_and_apart(spark: SparkSession) -> None:
    ids = spark.range(50_000).select(to_id(F.lit("event"), F.col("id").cast("string")).alias("id"))
    found = ids.agg(F.count_distinct("id"), F.min("id") >= 0).first()
    assert found == (50_000, True)


def test_a_missing_part_is_a_part(spark: SparkSession) -> None:
    person, none = F.lit("p1").cast("binary"), F.lit(None).cast("string")
    keys = spark.range(1).select(
        natural_key(person, F.lit("a"), none),
        natural_key(person, none, F.lit("a")),
        natural_key(person, F.lit("a")),
        natural_key(person, F.lit("a"), F.lit("")),
    )
    assert len(set(keys.first() or ())) == 4
