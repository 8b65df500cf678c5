"""Hospital stays as stem events and evidence. Tables are filtered."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.bounds import possible_birth
from jobs.harmonise.ids import natural_key
from jobs.harmonise.stem import DISCHARGE, FROM_CLAIMS, PERIOD, to_evidence, to_stem
from jobs.sources.codes import bare, ccam
from jobs.sources.pmsi_mco.filters import STAY, exit_day
from jobs.sources.protocol import Tables

STAY_HEADER, STAY_DETAIL = 32855, 32854
PRIMARY, SECONDARY = 32902, 32908
DIED = "9"
ROLES = ("DP", "DR", "DAS")
"""Main, related and associated diagnosis, the stronger role first."""


def events(tables: Tables) -> DataFrame:
    """Visits, diagnoses and acts, in STEM columns."""
    stays = tables["t_mcoaab"]
    diagnoses = _diagnoses(stays, tables["t_mcoaad"])
    return _visits(stays).unionByName(diagnoses).unionByName(_acts(tables["t_mcoaaa"]))


def persons(tables: Tables) -> DataFrame:
    """One row per slice and person, as hospitals see them: rank 3, the last choice for birth and sex.

    Year of birth is the year of admission minus the age in years (or days): one too late at most, hence the earliest
    possible one among a person's stays. Death is the end of a stay left by death.
    """
    entry = F.col("EXE_SOI_DTD")
    by_days = F.year(F.date_sub(entry, F.coalesce("AGE_JOU", F.lit(0))))
    year = F.coalesce(F.year(entry) - F.col("AGE_ANN"), by_days)
    people = (
        tables["t_mcoaab"]
        .groupBy(PERIOD, "NIR_ANO_17")
        .agg(
            F.coalesce(F.min(F.when(possible_birth(year), year)), F.min(year)).alias("year"),
            F.min(F.when(F.col("COD_SEX").isin("1", "2"), F.col("COD_SEX"))).alias("sex"),
            F.min(F.when(F.col("SOR_MOD") == DIED, exit_day())).alias("death"),
        )
    )
    return to_evidence(
        people,
        person_key=F.col("NIR_ANO_17"),
        gender=F.coalesce("sex", F.lit("0")),
        year_of_birth=F.col("year"),
        shared=F.lit(False),
        death_date=F.col("death"),
        death_type_concept_id=F.when(F.col("death").isNotNull(), F.lit(DISCHARGE)),
        period_type_concept_id=F.lit(FROM_CLAIMS),
        rank=F.lit(3),
    )


def _stay_key() -> Column:
    return natural_key(F.col("NIR_ANO_17"), F.lit("stay"), F.col(PERIOD), *map(F.col, STAY))


def _visits(stays: DataFrame) -> DataFrame:
    """One row per stay (one RSA is one visit). Without a night, or as a session, it is a ``day``, else a ``stay``.

    The HDH's rules call all of them inpatient; a day is outpatient care, and ends on the day it starts.
    """
    entry, session = F.col("EXE_SOI_DTD"), F.col("GRG_GHM").startswith("28")
    nights = F.coalesce("SEJ_NBJ", F.when(session, F.lit(0)), F.date_diff(exit_day(), entry))
    is_day = nights <= 0
    return to_stem(
        stays,
        person_key=F.col("NIR_ANO_17"),
        kind=F.lit("visit"),
        natural_key=_stay_key(),
        start_date=entry,
        end_date=F.when(is_day, entry).otherwise(F.greatest(entry, exit_day())),
        source_code=F.when(is_day, F.lit("day")).otherwise(F.lit("stay")),
        source_vocabulary=F.lit("MCO_STAY"),
        type_concept_id=F.lit(STAY_HEADER),
    )


def _diagnoses(stays: DataFrame, associated: DataFrame) -> DataFrame:
    """One row per stay and code, under its strongest role: an associated diagnosis equal to the main one is dropped.

    Dated by the admission. The order number of an associated diagnosis is no part of the key: it changes when a
    hospital sends the stay again.
    """
    columns = (PERIOD, "NIR_ANO_17", *STAY, "EXE_SOI_DTD")
    parts = [
        rows.select(*columns, bare(F.col(code)).alias("code"), F.lit(role).alias("role"))
        for role, (rows, code) in enumerate(((stays, "DGN_PAL"), (stays, "DGN_REL"), (associated, "ASS_DGN")))
    ]
    coded = parts[0].unionByName(parts[1]).unionByName(parts[2]).where("code is not null")
    role = F.col("role")
    return to_stem(
        coded.groupBy(*columns, "code").agg(F.min("role").alias("role")),
        person_key=F.col("NIR_ANO_17"),
        kind=F.lit("condition"),
        natural_key=natural_key(F.col("NIR_ANO_17"), F.lit("diagnosis"), F.col(PERIOD), *map(F.col, (*STAY, "code"))),
        visit_key=_stay_key(),
        start_date=F.col("EXE_SOI_DTD"),
        source_code=F.col("code"),
        source_vocabulary=F.lit("CIM10"),
        type_concept_id=F.when(role < 2, F.lit(STAY_HEADER)).otherwise(F.lit(STAY_DETAIL)),
        status_concept_id=F.when(role == 0, F.lit(PRIMARY)).otherwise(F.lit(SECONDARY)),
        qualifier=F.element_at(F.lit(list(ROLES)), role + 1),
    )


def _acts(acts: DataFrame) -> DataFrame:
    """One row per CCAM act, activity, phase and day; its day is the admission plus a delay, the file has no date."""
    own = ("ENT_DAT_DEL", "CDC_ACT", "PHA_ACT", "ACV_ACT")
    return to_stem(
        acts,
        person_key=F.col("NIR_ANO_17"),
        kind=F.lit("procedure"),
        natural_key=natural_key(F.col("NIR_ANO_17"), F.lit("act"), F.col(PERIOD), *map(F.col, (*STAY, *own))),
        visit_key=_stay_key(),
        start_date=F.date_add("EXE_SOI_DTD", "ENT_DAT_DEL"),
        source_code=ccam(F.col("CDC_ACT")),
        source_vocabulary=F.lit("CCAM"),
        type_concept_id=F.lit(STAY_DETAIL),
        qualifier=F.concat_ws("/", "ACV_ACT", "PHA_ACT"),
        quantity=F.col("NBR_EXE_ACT"),
    )
