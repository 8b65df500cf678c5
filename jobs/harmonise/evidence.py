"""What all deliveries say of a person, brought together. Order of deliveries plays no part."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.bounds import possible_birth, possible_death
from jobs.harmonise.ids import person_id
from jobs.harmonise.stem import DISCHARGE, ENROLMENT, FROM_BOTH, PERIOD, RECORD, SOURCE

DEATH_PRIORITY = (32815, ENROLMENT, DISCHARGE, RECORD)
"""Death certificate, beneficiary register, mode of discharge, health record: the first one known dates the death."""


def with_dates(evidence: DataFrame, stem: DataFrame) -> DataFrame:
    """One row per evidence row, with the first and last date of the person's events in the same delivery.

    Only a visit's end counts as a last date: a drug's end is a hypothesis about the future.
    """
    keys = ["person_key", SOURCE, PERIOD]
    end = F.when(F.col("kind") == "visit", F.col("end_date"))
    dates = stem.groupBy(*keys).agg(
        F.min("start_date").alias("first_date"), F.max(F.greatest("start_date", end)).alias("last_date")
    )
    return evidence.drop("first_date", "last_date").join(dates, keys, "left").select(*evidence.columns)


def only_unattributable(evidence: DataFrame) -> DataFrame:
    """One row per person_key whose events have no place in OMOP, whatever source they come from: ``person_key``,
    ``person_id``, ``reason``.

    ``unattributable``: the key stands for several people (same-sex twins under one policy holder), in one delivery or
    over all of them. ``implausible_birth``: no delivery knows a year of birth that can be.
    """
    keys = evidence.groupBy("person_key").agg(_several().alias("several"), _born().alias("born"))
    return keys.where("several or not born").select(
        "person_key",
        person_id(F.col("person_key")).alias("person_id"),
        F.when(F.col("several"), F.lit("unattributable")).otherwise(F.lit("implausible_birth")).alias("reason"),
    )


RESOLVED = {
    "person_key": "binary",
    "person_id": "bigint",
    "gender": "string",
    "year_of_birth": "int",
    "month_of_birth": "int",
    "death_date": "date",
    "death_type_concept_id": "int",
    "first_date": "date",
    "last_date": "date",
    "period_type_concept_id": "int",
}
"""Columns of ``resolve`` and their types, as Spark SQL writes them."""


def resolve(evidence: DataFrame, until: date) -> DataFrame:
    """One row per person who has at least one event, a year of birth that can be, and a key of their own.

    Birth: best rank, then latest period, among those that can be. Gender: the same among those that know it. Death: by
    ``DEATH_PRIORITY``, then latest period, among those that can be (``until``: ``possible_death``); none before the
    year of birth. Dates: first and last over everything.
    """
    order = F.struct(-F.col("rank"), F.col(PERIOD), F.col(SOURCE))
    knows = F.col("gender").isin("1", "2")
    place = F.array_position(F.lit(list(DEATH_PRIORITY)), F.col("death_type_concept_id"))
    priority = F.coalesce(F.nullif(place, F.lit(0)), F.lit(len(DEATH_PRIORITY) + 1))
    dies = F.when(possible_death(until), F.struct(-priority, F.col(PERIOD), F.col(SOURCE)))
    has_events = F.when(F.col("first_date").isNotNull(), F.col("period_type_concept_id"))
    resolved = evidence.groupBy("person_key").agg(
        _several().alias("several"),
        _born().alias("born"),
        F.max_by(
            F.struct("year_of_birth", "month_of_birth"), F.when(possible_birth(F.col("year_of_birth")), order)
        ).alias("birth"),
        F.max_by("gender", F.struct(knows, order)).alias("gender"),
        F.max_by(F.struct("death_date", "death_type_concept_id"), dies).alias("death"),
        F.min("first_date").alias("first_date"),
        F.max("last_date").alias("last_date"),
        F.min(has_events).alias("one_type"),
        F.max(has_events).alias("other_type"),
    )
    period_type = F.when(F.col("one_type") == F.col("other_type"), F.col("one_type")).otherwise(F.lit(FROM_BOTH))
    lived = F.year("death.death_date") >= F.col("birth.year_of_birth")
    return resolved.where("not several and born and first_date is not null").select(
        "person_key",
        person_id(F.col("person_key")).alias("person_id"),
        "gender",
        "birth.*",
        *[F.when(lived, F.col(f"death.{name}")).alias(name) for name in ("death_date", "death_type_concept_id")],
        "first_date",
        "last_date",
        period_type.alias("period_type_concept_id"),
    )


def _several() -> Column:
    """Over the evidence of one key: true when it stands for several people."""
    return F.bool_or("shared") | F.coalesce(F.min("identity") != F.max("identity"), F.lit(False))


def _born() -> Column:
    """Over the evidence of one key: true when some year of birth can be."""
    return F.coalesce(F.bool_or(possible_birth(F.col("year_of_birth"))), F.lit(False))
