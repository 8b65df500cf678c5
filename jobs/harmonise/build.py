"""Composition: stem events and evidence to OMOP tables."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.bounds import possible_death, value_faults, with_possible_values
from jobs.harmonise.concepts import with_concepts
from jobs.harmonise.condition_occurrence import to_condition_occurrence
from jobs.harmonise.death import to_death
from jobs.harmonise.drug_exposure import to_drug_exposure
from jobs.harmonise.evidence import only_unattributable, resolve
from jobs.harmonise.observation_period import to_observation_period
from jobs.harmonise.person import to_person
from jobs.harmonise.procedure_occurrence import to_procedure_occurrence
from jobs.harmonise.stem import PERIOD, SOURCE
from jobs.harmonise.visit_occurrence import to_visit_occurrence
from schemas.loader import Text

EVENT_TABLES = ("visit_occurrence", "condition_occurrence", "drug_exposure", "procedure_occurrence")
PERSON_TABLES = ("person", "observation_period", "death")
LOSSES = {
    "unattributable": Text(
        fr="Plusieurs personnes partagent le pseudonyme : l'événement ne peut être attribué à aucune.",
        en="Several people share the pseudonym: the event can be attributed to none of them.",
    ),
    "no_evidence": Text(
        fr="La livraison ne décrit pas la personne de cet événement : défaut de la source, à signaler.",
        en="The delivery does not describe the person of this event: a fault of the source, please report it.",
    ),
}
"""Why an event reaches no table, in words for stewards."""


def to_event_tables(stem: DataFrame, lookup: DataFrame, unattributable: DataFrame) -> dict[str, DataFrame]:
    """The four event tables of the deliveries in ``stem`` (STEM columns, ``_source``, ``_period``).

    ``lookup``: ``concepts.to_lookup``. ``unattributable``: ``evidence.only_unattributable`` over the evidence of
    **all** published deliveries; events under those keys are left out (``to_losses`` counts them). The mapped events
    are read four times: persist ``stem``, or write it once, before.
    """
    attributed = stem.join(unattributable.select("person_key"), "person_key", "left_anti")
    mapped = with_concepts(with_possible_values(attributed), lookup)
    return {
        "visit_occurrence": to_visit_occurrence(mapped),
        "condition_occurrence": to_condition_occurrence(mapped),
        "drug_exposure": to_drug_exposure(mapped),
        "procedure_occurrence": to_procedure_occurrence(mapped),
    }


def to_person_tables(evidence: DataFrame, until: date) -> dict[str, DataFrame]:
    """The three person tables from the evidence of **all** published deliveries, dates filled (``with_dates``).
    ``until``: day of the newest of them, after which nobody is known to have died."""
    resolved = resolve(evidence, until)
    return {
        "person": to_person(resolved),
        "observation_period": to_observation_period(resolved),
        "death": to_death(resolved),
    }


def to_losses(stem: DataFrame, evidence: DataFrame, fresh: DataFrame, until: date) -> DataFrame:
    """One row per delivery, kind and reason: ``rows`` stem events that reach no table, or reach it without a value.

    ``unattributable``: several people share the key. ``implausible_birth``: no year of birth of the person can be.
    ``no_evidence``: the delivery has events of a person that it does not describe; sources are written so that this
    cannot happen, a count above 0 is a fault of ``events``. ``implausible_quantity``, ``implausible_days_supply``: the
    event has lost that value. Kind ``death``, ``implausible_death``: what ``fresh``, the evidence of these deliveries,
    says of a death that cannot be.
    """
    keys = only_unattributable(evidence).select("person_key", F.col("reason").alias("left_out"))
    known = evidence.select("person_key").distinct().withColumn("known", F.lit(True))
    whole = F.coalesce(F.col("left_out"), F.when(F.col("known").isNull(), F.lit("no_evidence")))
    parts = F.array_compact(F.array(*[F.when(fault, F.lit(reason)) for reason, fault in value_faults().items()]))
    reasons = F.when(whole.isNotNull(), F.array(whole)).otherwise(parts)
    judged = stem.join(known, "person_key", "left").join(keys, "person_key", "left")
    events = judged.select(SOURCE, PERIOD, "kind", F.explode(reasons).alias("reason"))
    deaths = fresh.where(~possible_death(until)).select(
        SOURCE, PERIOD, F.lit("death").alias("kind"), F.lit("implausible_death").alias("reason")
    )
    return events.unionByName(deaths).groupBy(SOURCE, PERIOD, "kind", "reason").agg(F.count("*").alias("rows"))
