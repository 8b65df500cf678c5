"""Health insurance reimbursements as stem events and evidence. Tables are filtered."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.ids import natural_key
from jobs.harmonise.stem import ENROLMENT, FROM_CLAIMS, PERIOD, to_evidence, to_stem
from jobs.sources.codes import ccam
from jobs.sources.dcir.filters import KEY
from jobs.sources.protocol import Tables

CLAIM, PHARMACY_CLAIM = 32810, 32869
FLAT_RATE_CONTRIBUTION = 16
UNITS = r"^\s*(\d{1,5})\s*(?:\+\s*(\d{1,5})|/.*|[A-Za-zÀ-ÿ].*)?\s*$"
"""The four forms of PHA_UNT_NBR_DSES: ``30``, ``3 DOSES``, ``3 / 2ML`` (three containers), ``3 + 5``."""
INT_MAX = 2_147_483_647
COUNT = r"^\s*\d{1,5}\s*(?:\+\s*\d{1,5})?\s*$"
"""Forms that count single units (tablets, capsules)."""


def events(tables: Tables) -> DataFrame:
    """Visits, drugs and acts, in STEM columns."""
    drugs = _drugs(tables["er_pha_f"], tables["ir_pha_r"])
    return _visits(tables["er_prs_f"]).unionByName(drugs).unionByName(_acts(tables["er_cam_f"]))


def persons(tables: Tables) -> DataFrame:
    """One row per slice and pseudonym of IR_BEN_R: the most recently updated row describes the person.

    Death: BEN_DCD_DTE, else the last day of BEN_DCD_AME (day unknown), from whichever row knows it.
    """
    death = F.coalesce("BEN_DCD_DTE", F.last_day("BEN_DCD_AME"))
    identity = F.coalesce(F.hex("BEN_IDT_ANO"), F.col("BEN_RNG_GEM").cast("string"))
    latest = F.struct("BEN_DTE_MAJ", "BEN_RNG_GEM")
    people = (
        tables["ir_ben_r"]
        .groupBy(PERIOD, "BEN_NIR_PSA")
        .agg(
            F.max_by(F.struct("BEN_SEX_COD", "BEN_NAI_ANN", "BEN_NAI_MOI"), latest).alias("says"),
            F.min("BEN_IDT_ANO").alias("identity"),
            (F.count_distinct(identity) > 1).alias("shared"),
            F.max(death).alias("death"),
        )
    )
    sex = F.col("says.BEN_SEX_COD")
    return to_evidence(
        people,
        person_key=F.col("BEN_NIR_PSA"),
        gender=F.when(sex.isin(1, 2), sex.cast("string")).otherwise(F.lit("0")),
        year_of_birth=F.col("says.BEN_NAI_ANN"),
        month_of_birth=F.when(F.col("says.BEN_NAI_MOI").between(1, 12), F.col("says.BEN_NAI_MOI")),
        identity=F.col("identity"),
        shared=F.col("shared"),
        death_date=F.col("death"),
        death_type_concept_id=F.when(F.col("death").isNotNull(), F.lit(ENROLMENT)),
        period_type_concept_id=F.lit(FROM_CLAIMS),
        rank=F.lit(1),
    )


def _is_visit() -> Column:
    """A line that counts as contact: not a supplement, not the flat-rate contribution, not a cash benefit (6xxx)."""
    supplement = (F.col("CPL_MAJ_TOP") >= 2) | (F.col("CPL_AFF_COD") == FLAT_RATE_CONTRIBUTION)
    benefit = F.col("PRS_NAT_REF").between(6000, 6999)
    return ~F.coalesce(supplement, F.lit(False)) & ~benefit & (F.col("PRS_ACT_QTE") > 0)


def _place() -> Column:
    """Kind of contact by nature of the service: what may happen twice on a day with one professional."""
    chapter = F.floor(F.col("PRS_NAT_REF") / 10)
    return (
        F.when(chapter.between(330, 339), F.lit("pharmacy"))
        .when(chapter.between(320, 329), F.lit("laboratory"))
        .when(chapter.between(120, 129), F.lit("home"))
        .when(chapter == 119, F.lit("remote"))
        .otherwise(F.lit("care"))
    )


def _visit_key() -> Column:
    return natural_key(
        F.col("BEN_NIR_PSA"), F.lit("visit"), F.col(PERIOD), F.col("EXE_SOI_DTD"), F.hex("PFS_EXE_NUM"), _place()
    )


def _visits(lines: DataFrame) -> DataFrame:
    """One row per person, care date, performer and kind of contact; the lowest nature stands for the contact.

    The slice is part of the key: lines of one contact that arrive in two monthly flows make two visits, so that a
    visit belongs to one delivery and a correction of one month never touches another.
    """
    contacts = lines.where(_is_visit()).groupBy(
        PERIOD, "BEN_NIR_PSA", "EXE_SOI_DTD", "PFS_EXE_NUM", _place().alias("place")
    )
    return to_stem(
        contacts.agg(F.min("PRS_NAT_REF").alias("PRS_NAT_REF")),
        person_key=F.col("BEN_NIR_PSA"),
        kind=F.lit("visit"),
        natural_key=_visit_key(),
        start_date=F.col("EXE_SOI_DTD"),
        end_date=F.col("EXE_SOI_DTD"),
        source_code=F.col("PRS_NAT_REF"),
        source_vocabulary=F.lit("PRS_NAT_REF"),
        type_concept_id=F.lit(CLAIM),
    )


def _drugs(drugs: DataFrame, reference: DataFrame) -> DataFrame:
    """One row per package delivered. It starts on the day of dispensing (EXE_SOI_DTD).

    The HDH's rules prefer the date of prescription, which may lie months before; claims know what was handed over and
    when, and OMOP's convention for claims is that day. ``quantity`` is in units: those unpacked, else boxes x units
    per box, NULL when the reference does not say how many. ``days_supply`` assumes one unit a day, and only for boxes
    that count single units: a dose of a spray or a vial is not a day.
    """
    text = F.col("PHA_UNT_NBR_DSES")
    first, second = (F.regexp_extract(text, UNITS, n).try_cast("int") for n in (1, 2))
    per_box = F.when(text.rlike(UNITS), first + F.coalesce(second, F.lit(0)))
    boxes_units = F.col("PHA_ACT_QSN").cast("bigint") * per_box
    units = F.when(F.col("PHA_DEC_QSU") > 0, F.col("PHA_DEC_QSU")).otherwise(boxes_units)
    boxes = reference.select(PERIOD, F.col("PHA_CIP_C13").alias("PHA_PRS_C13"), "PHA_UNT_NBR_DSES")
    return to_stem(
        drugs.join(F.broadcast(boxes), [PERIOD, "PHA_PRS_C13"], "left"),
        person_key=F.col("BEN_NIR_PSA"),
        kind=F.lit("drug"),
        natural_key=natural_key(F.col("BEN_NIR_PSA"), F.lit("drug"), *map(F.col, (*KEY, "PHA_ORD_NUM"))),
        visit_key=F.when(_is_visit(), _visit_key()),
        start_date=F.col("EXE_SOI_DTD"),
        source_code=F.trim("PHA_PRS_C13"),
        source_vocabulary=F.lit("CIP13"),
        type_concept_id=F.lit(PHARMACY_CLAIM),
        quantity=units,
        days_supply=F.when(text.rlike(COUNT) & (units > 0), F.least(units, F.lit(INT_MAX))),
    )


def _acts(acts: DataFrame) -> DataFrame:
    """One row per CCAM act, activity and phase; its quantity is that of the service."""
    return to_stem(
        acts,
        person_key=F.col("BEN_NIR_PSA"),
        kind=F.lit("procedure"),
        natural_key=natural_key(F.col("BEN_NIR_PSA"), F.lit("act"), *map(F.col, (*KEY, "CAM_ORD_NUM"))),
        visit_key=F.when(_is_visit(), _visit_key()),
        start_date=F.col("EXE_SOI_DTD"),
        source_code=ccam(F.col("CAM_PRS_IDE")),
        source_vocabulary=F.lit("CCAM"),
        type_concept_id=F.lit(CLAIM),
        qualifier=F.concat_ws("/", "CAM_ACT_COD", "CAM_TRT_PHA"),
        quantity=F.col("PRS_ACT_QTE"),
    )
