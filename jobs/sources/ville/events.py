"""Records of general practitioners as stem events and evidence. Tables are filtered."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.ids import natural_key
from jobs.harmonise.stem import FROM_RECORDS, PERIOD, RECORD, to_evidence, to_stem
from jobs.sources.codes import bare
from jobs.sources.protocol import Tables
from jobs.sources.ville.filters import ENCOUNTER

ENCOUNTER_RECORD, PROBLEM_LIST, PRESCRIPTION = 32827, 32840, 32838


def events(tables: Tables) -> DataFrame:
    """Visits, problems and prescriptions, in STEM columns."""
    problems, drugs = _problems(tables["problem"]), _prescriptions(tables["prescription"])
    return _visits(tables["encounter"]).unionByName(problems).unionByName(drugs)


def persons(tables: Tables) -> DataFrame:
    """One row per slice and person; records of one person in two practices are one (rank 2, after the insurance).

    Where the records differ, the first practice in order of number speaks; the earliest date of death is taken.
    """
    sex = F.when(F.col("sex").isin("1", "M"), F.lit("1")).when(F.col("sex").isin("2", "F"), F.lit("2"))
    first = F.struct("practice_id", "patient_local_id")
    people = (
        tables["patient"]
        .groupBy(PERIOD, "patient_pseudonym")
        .agg(
            F.min_by("birth_date", first).alias("birth"),
            F.min_by(sex, F.when(sex.isNotNull(), first)).alias("sex"),
            F.min("deceased_date").alias("death"),
        )
    )
    return to_evidence(
        people,
        person_key=F.col("patient_pseudonym"),
        gender=F.coalesce("sex", F.lit("0")),
        year_of_birth=F.year("birth"),
        month_of_birth=F.month("birth"),
        shared=F.lit(False),
        death_date=F.col("death"),
        death_type_concept_id=F.when(F.col("death").isNotNull(), F.lit(RECORD)),
        period_type_concept_id=F.lit(FROM_RECORDS),
        rank=F.lit(2),
    )


def _encounter_key() -> Column:
    """The slice is part of the key: a software that starts its numbers anew in another month makes other encounters."""
    return natural_key(F.col("patient_pseudonym"), F.lit("encounter"), F.col(PERIOD), *map(F.col, ENCOUNTER))


def _visits(encounters: DataFrame) -> DataFrame:
    """One row per encounter; it ends on the day it starts."""
    return to_stem(
        encounters,
        person_key=F.col("patient_pseudonym"),
        kind=F.lit("visit"),
        natural_key=_encounter_key(),
        start_date=F.col("day"),
        end_date=F.col("day"),
        source_code=F.col("type"),
        source_vocabulary=F.lit("VILLE_ENCOUNTER"),
        type_concept_id=F.lit(ENCOUNTER_RECORD),
    )


def _problems(problems: DataFrame) -> DataFrame:
    """One row per coded problem, in CISP-2, CIM-10 or DRC as the practice codes.

    Dated by the encounter: the declared onset is a memory, often years before anything that the hub observes.
    """
    return to_stem(
        problems,
        person_key=F.col("patient_pseudonym"),
        kind=F.lit("condition"),
        natural_key=natural_key(
            F.col("patient_pseudonym"), F.lit("problem"), F.col(PERIOD), *map(F.col, (*ENCOUNTER, "problem_rank"))
        ),
        visit_key=_encounter_key(),
        start_date=F.col("day"),
        source_code=bare(F.col("code")),
        source_vocabulary=F.col("code_system"),
        type_concept_id=F.lit(PROBLEM_LIST),
    )


def _prescriptions(drugs: DataFrame) -> DataFrame:
    """One row per prescribed line: the package (CIP13), else the ATC class. It starts on the day of the encounter.

    ``days_supply`` is the duration as written, for one dispensing; renewals are counted apart. ``quantity`` stays
    NULL: practices write boxes, the column holds units in the claims, and one column must not hold both.
    """
    package = bare(F.col("cip13"))
    return to_stem(
        drugs,
        person_key=F.col("patient_pseudonym"),
        kind=F.lit("drug"),
        natural_key=natural_key(
            F.col("patient_pseudonym"), F.lit("prescription"), F.col(PERIOD), *map(F.col, (*ENCOUNTER, "line_rank"))
        ),
        visit_key=_encounter_key(),
        start_date=F.col("day"),
        source_code=F.coalesce(package, bare(F.col("atc"))),
        source_vocabulary=F.when(package.isNotNull(), F.lit("CIP13")).otherwise(F.lit("ATC")),
        type_concept_id=F.lit(PRESCRIPTION),
        days_supply=F.when(F.col("duration_days") > 0, F.col("duration_days")),
        refills=F.col("renewals"),
    )
