"""OMOP OBSERVATION_PERIOD."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import to_table
from jobs.harmonise.ids import to_id
from jobs.harmonise.omop import PERSONS

MADE_FROM = PERSONS


def to_observation_period(resolved: DataFrame) -> DataFrame:
    """One row per person: from the first event to the last one, cut at death.

    Inferred from events, as no source sends affiliation spans: type 32881 when all of them are claims, 32882 when all
    are health records, 32880 when both. Events after death stay in their tables, outside the period.
    """
    death = F.coalesce("death_date", "last_date")
    return to_table(
        resolved,
        "observation_period",
        observation_period_id=to_id(F.lit("observation_period"), F.hex("person_key")),
        person_id=F.col("person_id"),
        observation_period_start_date=F.least("first_date", death),
        observation_period_end_date=F.least("last_date", death),
        period_type_concept_id=F.col("period_type_concept_id"),
    )
