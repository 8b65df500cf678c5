"""OMOP DRUG_EXPOSURE."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import LINEAGE, midnight, to_table
from jobs.harmonise.ids import event_id, person_id, visit_id
from jobs.harmonise.omop import Events

MADE_FROM = Events(kind="drug", domain="Drug", quantity=(0, 20_000))
DEFAULT_DAYS = 30
"""Days that are covered when no duration is known (CDM convention; the HDH's rules use the same)."""


def to_drug_exposure(mapped: DataFrame) -> DataFrame:
    """One row per drug delivered or prescribed and concept (``with_concepts`` rows that are for this table).

    The end is required: the source's own end, else start + days_supply - 1, else start + 29 days.
    """
    start, days = F.col("start_date"), F.col("days_supply")
    covered = F.when(days >= 1, days).otherwise(F.lit(DEFAULT_DAYS))
    end = F.coalesce("end_date", F.date_add(start, covered - 1))
    return to_table(
        mapped,
        "drug_exposure",
        LINEAGE,
        drug_exposure_id=event_id(F.col("kind"), F.col("_source"), F.col("natural_key"), F.col("target_rank")),
        person_id=person_id(F.col("person_key")),
        drug_concept_id=F.col("concept_id"),
        drug_exposure_start_date=start,
        drug_exposure_start_datetime=midnight(start),
        drug_exposure_end_date=end,
        drug_exposure_end_datetime=midnight(end),
        drug_type_concept_id=F.col("type_concept_id"),
        refills=F.col("refills"),
        quantity=F.col("quantity"),
        days_supply=days,
        visit_occurrence_id=visit_id(F.col("_source"), F.col("visit_key")),
        drug_source_value=F.col("source_code"),
        drug_source_concept_id=F.col("source_concept_id"),
    )
