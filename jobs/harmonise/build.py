"""Composition: stem events and evidence to OMOP tables."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.bounds import possible_death, value_faults, with_possible_values
from jobs.harmonise.concepts import CONCEPTS, with_concepts
from jobs.harmonise.omop import DATABASE, PERSONS, Database, event_tables, made_from
from jobs.harmonise.stem import PERIOD, SOURCE, STEM
from schemas.text import Text

LOSSES = {
    "unattributable": Text(
        fr="Plusieurs personnes partagent le pseudonyme : l'événement ne peut être attribué à aucune.",
        en="Several people share the pseudonym: the event can be attributed to none of them.",
    ),
    "implausible_birth": Text(
        fr="Aucune année de naissance plausible n'est connue de la personne : OMOP n'admet pas de personne sans elle.",
        en="No plausible year of birth of the person is known: OMOP has no person without it.",
    ),
    "implausible_death": Text(
        fr="La date de décès est impossible : elle est ignorée, la personne reste.",
        en="The date of death is impossible: it is ignored, the person stays.",
    ),
    "implausible_quantity": Text(
        fr="La quantité est impossible : l'événement reste, sans elle.",
        en="The quantity is impossible: the event stays, without it.",
    ),
    "implausible_days_supply": Text(
        fr="La durée de traitement est impossible : l'événement reste, sans elle.",
        en="The days of supply are impossible: the event stays, without them.",
    ),
    "no_evidence": Text(
        fr="La livraison ne décrit pas la personne de cet événement : défaut de la source, à signaler.",
        en="The delivery does not describe the person of this event: a fault of the source, please report it.",
    ),
    "no_table": Text(
        fr="Aucune table OMOP n'est faite d'événements de cette nature : défaut de la source, à signaler.",
        en="No OMOP table is made of events of this kind: a fault of the source, please report it.",
    ),
}
"""Why an event reaches no table, or reaches it without a value, in words for stewards."""


REASON = "left_out"
EVENTS = {f.name: f.dataType.simpleString() for f in STEM.fields} | {SOURCE: "string", PERIOD: "string", **CONCEPTS}
EVENTS |= {REASON: "string"}
"""Columns of ``to_events`` and their types, as Spark SQL writes them."""


def to_events(stem: DataFrame, lookup: DataFrame, unattributable: DataFrame) -> DataFrame:
    """One row per event and target (``concepts.with_concepts``), of the deliveries in ``stem`` (STEM columns,
    ``_source``, ``_period``). ``left_out``: why its key stands for no person; such an event has no table.

    ``lookup``: ``concepts.to_lookup``. ``unattributable``: ``evidence.only_unattributable`` over the evidence of
    **all** published deliveries. Every table looks at them: let them be written once, by table.
    """
    keys = unattributable.select("person_key", F.col("reason").alias(REASON))
    mapped = with_concepts(stem.join(keys, "person_key", "left"), lookup)
    return mapped.withColumn("table", F.when(F.col(REASON).isNull(), F.col("table")))


def to_event_tables(events: DataFrame) -> dict[str, DataFrame]:
    """The tables made from events (``to_events``)."""
    return {t.name: t.make(with_possible_values(events.where(F.col("table") == t.name))) for t in event_tables()}


def to_person_tables(resolved: DataFrame) -> dict[str, DataFrame]:
    """The tables made from persons (``evidence.resolve``)."""
    return {t.name: t.make(resolved) for t in made_from(PERSONS)}


def to_database_tables(database: Database) -> dict[str, DataFrame]:
    """The tables that describe the database."""
    return {t.name: t.make(database) for t in made_from(DATABASE)}


def to_losses(events: DataFrame, evidence: DataFrame, fresh: DataFrame, until: date) -> DataFrame:
    """One row per delivery, kind and reason: ``rows`` events (``to_events``, each counted once, whatever its targets)
    that reach no table, or reach it without a value.

    ``unattributable``: several people share the key. ``implausible_birth``: no year of birth of the person can be.
    ``no_evidence``: the delivery has events of a person that it does not describe; ``no_table``: no table is made of
    such events. Sources are written so that neither can happen: a count above 0 is a fault of ``events``.
    ``implausible_quantity``, ``implausible_days_supply``: the event has lost that value. Kind ``death``,
    ``implausible_death``: what ``fresh``, the evidence of these deliveries, says of a death that cannot be.
    """
    known = evidence.select("person_key").distinct().withColumn("known", F.lit(True))
    kinds = [events.kind for events in event_tables().values()]
    whole = F.coalesce(
        F.col(REASON),
        F.when(F.col("known").isNull(), F.lit("no_evidence")),
        F.when(~F.col("kind").isin(kinds), F.lit("no_table")),
    )
    parts = F.array_compact(F.array(*[F.when(fault, F.lit(reason)) for reason, fault in value_faults().items()]))
    reasons = F.when(whole.isNotNull(), F.array(whole)).otherwise(parts)
    judged = events.where("target_rank = 0").join(known, "person_key", "left")
    lost = judged.select(SOURCE, PERIOD, "kind", F.explode(reasons).alias("reason"))
    deaths = fresh.where(~possible_death(until)).select(
        SOURCE, PERIOD, F.lit("death").alias("kind"), F.lit("implausible_death").alias("reason")
    )
    return lost.unionByName(deaths).groupBy(SOURCE, PERIOD, "kind", "reason").agg(F.count("*").alias("rows"))
