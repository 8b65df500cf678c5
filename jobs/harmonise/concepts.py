"""The one lookup of concepts: all stem events of a delivery at once, whatever table they are for."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.harmonise.omop import event_tables


def to_lookup(source_to_concept_map: DataFrame, concept: DataFrame) -> DataFrame:
    """One row is one usable target of a source code: vocabulary, code, concept, its table, its rank among the targets.

    Usable: the map row is valid, and the concept is standard, valid and of a domain that has a table here. Tables that
    stand alone (visits) have their own targets (``alone`` names their kind), at most one per code: a visit stays one
    visit, no other event becomes one.
    """
    domains = {events.domain: table.name for table, events in event_tables().items()}
    valid = source_to_concept_map.where("invalid_reason is null and target_concept_id <> 0")
    standard = concept.where("standard_concept = 'S' and invalid_reason is null").select(
        F.col("concept_id").alias("target_concept_id"), _choose(F.col("domain_id"), domains).alias("target_table")
    )
    targets = valid.join(F.broadcast(standard), "target_concept_id").where("target_table is not null")
    kinds = {table.name: events.kind for table, events in event_tables().items() if events.alone}
    per_target = targets.groupBy(
        F.col("source_vocabulary_id").alias("source_vocabulary"),
        "source_code",
        F.coalesce(_choose(F.col("target_table"), kinds), F.lit("")).alias("alone"),
        F.col("target_concept_id").alias("concept_id"),
        "target_table",
    ).agg(F.max("source_concept_id").alias("source_concept_id"))
    code = Window.partitionBy("source_vocabulary", "source_code", "alone").orderBy("concept_id")
    ranked = per_target.withColumn("target_rank", F.row_number().over(code) - 1)
    return ranked.where("alone = '' or target_rank = 0")


CONCEPTS = {"concept_id": "int", "source_concept_id": "int", "target_rank": "int", "table": "string"}
"""What ``with_concepts`` adds, and of which types, as Spark SQL writes them."""


def with_concepts(stem: DataFrame, lookup: DataFrame) -> DataFrame:
    """One row per stem event and target: adds ``concept_id``, ``source_concept_id``, ``target_rank``, ``table``.

    A code without usable target keeps one row with concept 0 in its a-priori table.
    """
    tables = {events.kind: table.name for table, events in event_tables().items()}
    kinds = [events.kind for events in event_tables().values() if events.alone]
    marked = stem.withColumn("alone", F.when(F.col("kind").isin(kinds), F.col("kind")).otherwise(F.lit("")))
    joined = marked.join(F.broadcast(lookup), ["source_vocabulary", "source_code", "alone"], "left")
    found = {name: F.coalesce(name, F.lit(0)) for name in ("concept_id", "source_concept_id", "target_rank")}
    table = F.coalesce("target_table", _choose(F.col("kind"), tables))
    return joined.withColumns(found | {"table": table}).drop("alone", "target_table")


def _choose(value: Column, table: Mapping[str, str]) -> Column:
    """The table that a value names; NULL for a value that names none."""
    chosen = F.lit(None).cast("string")
    for name, target in table.items():
        chosen = F.when(value == name, F.lit(target)).otherwise(chosen)
    return chosen
