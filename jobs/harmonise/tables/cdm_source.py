"""OMOP CDM_SOURCE."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.columns import to_table
from jobs.harmonise.omop import DATABASE, Database

MADE_FROM = DATABASE
CDM_5_4 = 756265


def to_cdm_source(database: Database) -> DataFrame:
    """Exactly one row, whatever the number of sources: what this database is.

    Both dates are those of the latest delivery that takes part, so that a second build of the same deliveries gives the
    same row. The vocabulary's version is that of the row ``None`` of VOCABULARY.
    """
    version = F.max(F.when(F.col("vocabulary_id") == "None", F.col("vocabulary_version")))
    return to_table(
        database.vocabulary.agg(F.coalesce(version, F.lit("unknown")).alias("version")),
        "cdm_source",
        cdm_source_name=F.lit("French health data hub, OMOP database"),
        cdm_source_abbreviation=F.lit("healthhub"),
        cdm_holder=F.lit("healthhub"),
        source_description=F.lit(f"Pseudonymised: {'; '.join(database.sources)}"),
        cdm_etl_reference=F.lit("jobs/harmonise"),
        source_release_date=F.lit(database.released),
        cdm_release_date=F.lit(database.released),
        cdm_version=F.lit("5.4"),
        cdm_version_concept_id=F.lit(CDM_5_4),
        vocabulary_version=F.substring("version", 1, 20),
    )
