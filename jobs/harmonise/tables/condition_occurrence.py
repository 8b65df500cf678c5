"""OMOP CONDITION_OCCURRENCE."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import LINEAGE, midnight, to_table
from jobs.harmonise.ids import event_id, person_id, visit_id
from jobs.harmonise.omop import Events

MADE_FROM = Events(kind="condition", domain="Condition")


def to_condition_occurrence(mapped: DataFrame) -> DataFrame:
    """One row per diagnosis or problem and concept (``with_concepts`` rows that are for this table)."""
    start, end = F.col("start_date"), F.col("end_date")
    return to_table(
        mapped,
        "condition_occurrence",
        LINEAGE,
        condition_occurrence_id=event_id(F.col("kind"), F.col("_source"), F.col("natural_key"), F.col("target_rank")),
        person_id=person_id(F.col("person_key")),
        condition_concept_id=F.col("concept_id"),
        condition_start_date=start,
        condition_start_datetime=midnight(start),
        condition_end_date=end,
        condition_end_datetime=midnight(end),
        condition_type_concept_id=F.col("type_concept_id"),
        condition_status_concept_id=F.col("status_concept_id"),
        visit_occurrence_id=visit_id(F.col("_source"), F.col("visit_key")),
        condition_source_value=F.col("source_code"),
        condition_source_concept_id=F.col("source_concept_id"),
        condition_status_source_value=F.col("qualifier"),
    )
