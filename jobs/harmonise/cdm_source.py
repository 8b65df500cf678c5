"""OMOP CDM_SOURCE."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import to_table

CDM_5_4 = 756265


def to_cdm_source(vocabulary: DataFrame, *, source_release: date, cdm_release: date) -> DataFrame:
    """Exactly one row, whatever the number of sources: what this database is.

    ``source_release``: date of the latest delivery that takes part; ``cdm_release``: date of the build, not before it.
    Both come from the caller, so that a second build of the same deliveries gives the same row. The vocabulary's
    version is that of the row ``None`` of VOCABULARY.
    """
    version = F.max(F.when(F.col("vocabulary_id") == "None", F.col("vocabulary_version")))
    return to_table(
        vocabulary.agg(F.coalesce(version, F.lit("unknown")).alias("version")),
        "cdm_source",
        cdm_source_name=F.lit("French health data hub, OMOP database"),
        cdm_source_abbreviation=F.lit("healthhub"),
        cdm_holder=F.lit("healthhub"),
        source_description=F.lit(
            "Health insurance reimbursements (DCIR), hospital stays (PMSI MCO) and city medicine, pseudonymised"
        ),
        cdm_etl_reference=F.lit("jobs/harmonise"),
        source_release_date=F.lit(source_release),
        cdm_release_date=F.lit(max(source_release, cdm_release)),
        cdm_version=F.lit("5.4"),
        cdm_version_concept_id=F.lit(CDM_5_4),
        vocabulary_version=F.substring("version", 1, 20),
    )
