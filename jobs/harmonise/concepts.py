"""The one lookup of concepts: all stem events of a delivery at once, whatever table they are for."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

TABLES = {
    "visit": "visit_occurrence",
    "condition": "condition_occurrence",
    "drug": "drug_exposure",
    "procedure": "procedure_occurrence",
}
"""A-priori table of an event by the kind that its source means."""
DOMAINS = {
    "Visit": "visit_occurrence",
    "Condition": "condition_occurrence",
    "Drug": "drug_exposure",
    "Procedure": "procedure_occurrence",
}
"""Table of an event by the domain of its standard concept."""


def to_lookup(source_to_concept_map: DataFrame, concept: DataFrame) -> DataFrame:
    """One row is one usable target of a source code: vocabulary, code, concept, its table, its rank among the targets.

    Usable: the map row is valid, and the concept is standard, valid and of a domain that has a table here. Visits
    have their own targets (``of_visit``), at most one per code: a visit stays one visit, no other event becomes one.
    """
    valid = source_to_concept_map.where("invalid_reason is null and target_concept_id <> 0")
    standard = concept.where("standard_concept = 'S' and invalid_reason is null").select(
        F.col("concept_id").alias("target_concept_id"), _choose(F.col("domain_id"), DOMAINS).alias("target_table")
    )
    targets = valid.join(F.broadcast(standard), "target_concept_id").where("target_table is not null")
    per_target = targets.groupBy(
        F.col("source_vocabulary_id").alias("source_vocabulary"),
        "source_code",
        (F.col("target_table") == "visit_occurrence").alias("of_visit"),
        F.col("target_concept_id").alias("concept_id"),
        "target_table",
    ).agg(F.max("source_concept_id").alias("source_concept_id"))
    code = Window.partitionBy("source_vocabulary", "source_code", "of_visit").orderBy("concept_id")
    ranked = per_target.withColumn("target_rank", F.row_number().over(code) - 1)
    return ranked.where(~F.col("of_visit") | (F.col("target_rank") == 0))


def with_concepts(stem: DataFrame, lookup: DataFrame) -> DataFrame:
    """One row per stem event and target: adds ``concept_id``, ``source_concept_id``, ``target_rank``, ``table``.

    A code without usable target keeps one row with concept 0 in its a-priori table.
    """
    marked = stem.withColumn("of_visit", F.col("kind") == "visit")
    found = marked.join(F.broadcast(lookup), ["source_vocabulary", "source_code", "of_visit"], "left")
    return found.select(
        *stem.columns,
        F.coalesce("concept_id", F.lit(0)).alias("concept_id"),
        F.coalesce("source_concept_id", F.lit(0)).alias("source_concept_id"),
        F.coalesce("target_rank", F.lit(0)).alias("target_rank"),
        F.coalesce("target_table", _choose(F.col("kind"), TABLES)).alias("table"),
    )


def _choose(value: Column, table: dict[str, str]) -> Column:
    """The table that a value names; NULL for a value that names none."""
    chosen = F.lit(None).cast("string")
    for name, target in table.items():
        chosen = F.when(value == name, F.lit(target)).otherwise(chosen)
    return chosen
