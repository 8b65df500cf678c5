"""OMOP PROCEDURE_OCCURRENCE."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import LINEAGE, midnight, to_table
from jobs.harmonise.ids import event_id, person_id, visit_id
from jobs.harmonise.omop import Events

MADE_FROM = Events(kind="procedure", domain="Procedure", quantity=(1, 999))


def to_procedure_occurrence(mapped: DataFrame) -> DataFrame:
    """One row per act and concept (``with_concepts`` rows that are for this table)."""
    start, end = F.col("start_date"), F.col("end_date")
    return to_table(
        mapped,
        "procedure_occurrence",
        LINEAGE,
        procedure_occurrence_id=event_id(F.col("kind"), F.col("_source"), F.col("natural_key"), F.col("target_rank")),
        person_id=person_id(F.col("person_key")),
        procedure_concept_id=F.col("concept_id"),
        procedure_date=start,
        procedure_datetime=midnight(start),
        procedure_end_date=end,
        procedure_end_datetime=midnight(end),
        procedure_type_concept_id=F.col("type_concept_id"),
        quantity=F.col("quantity"),
        visit_occurrence_id=visit_id(F.col("_source"), F.col("visit_key")),
        procedure_source_value=F.col("source_code"),
        procedure_source_concept_id=F.col("source_concept_id"),
        modifier_source_value=F.col("qualifier"),
    )
