"""OMOP VISIT_OCCURRENCE."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import LINEAGE, midnight, to_table
from jobs.harmonise.ids import person_id, visit_id
from jobs.harmonise.omop import Events

MADE_FROM = Events(kind="visit", domain="Visit", alone=True)


def to_visit_occurrence(mapped: DataFrame) -> DataFrame:
    """One row per visit (``with_concepts`` rows that are for this table).

    ``preceding_visit_occurrence_id`` is NULL: the visit before may lie in another delivery, and a table that is built
    by deliveries must not depend on their order.
    """
    start, end = F.col("start_date"), F.greatest("start_date", "end_date")
    return to_table(
        mapped,
        "visit_occurrence",
        LINEAGE,
        visit_occurrence_id=visit_id(F.col("_source"), F.col("natural_key")),
        person_id=person_id(F.col("person_key")),
        visit_concept_id=F.col("concept_id"),
        visit_start_date=start,
        visit_start_datetime=midnight(start),
        visit_end_date=end,
        visit_end_datetime=midnight(end),
        visit_type_concept_id=F.col("type_concept_id"),
        visit_source_value=F.col("source_code"),
        visit_source_concept_id=F.col("source_concept_id"),
    )
