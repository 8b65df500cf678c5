"""OMOP DEATH."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import midnight, to_table
from jobs.harmonise.omop import PERSONS

MADE_FROM = PERSONS


def to_death(resolved: DataFrame) -> DataFrame:
    """One row per person known to be dead: the date of the best source, its type says which (``evidence.resolve``)."""
    day = F.col("death_date")
    return to_table(
        resolved.where(day.isNotNull()),
        "death",
        person_id=F.col("person_id"),
        death_date=day,
        death_datetime=midnight(day),
        death_type_concept_id=F.col("death_type_concept_id"),
    )
