"""OMOP PERSON."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import to_table
from jobs.harmonise.omop import PERSONS

MADE_FROM = PERSONS
MALE, FEMALE = 8507, 8532


def to_person(resolved: DataFrame) -> DataFrame:
    """One row per person (``evidence.resolve``), known by an id only.

    Day of birth, place and every source value that could lead back stay NULL; race and ethnicity are 0, France does
    not collect them.
    """
    gender = F.col("gender")
    return to_table(
        resolved,
        "person",
        person_id=F.col("person_id"),
        gender_concept_id=F.when(gender == "1", F.lit(MALE)).when(gender == "2", F.lit(FEMALE)).otherwise(F.lit(0)),
        year_of_birth=F.col("year_of_birth"),
        month_of_birth=F.col("month_of_birth"),
        race_concept_id=F.lit(0),
        ethnicity_concept_id=F.lit(0),
        gender_source_value=gender,
    )
