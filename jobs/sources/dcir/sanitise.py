"""Filters that every analyst of the DCIR applies (SNDS documentation), one name each."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.bounds import month, possible_day
from jobs.harmonise.stem import PERIOD
from jobs.sources.sieve import only_kept, with_rules

KEY = (
    "FLX_DIS_DTD", "FLX_TRT_DTD", "FLX_EMT_TYP", "FLX_EMT_NUM", "FLX_EMT_ORD", "ORG_CLE_NUM", "DCT_ORD_NUM",
    "PRS_ORD_NUM", "REM_TYP_AFF",
)  # fmt: skip
"""The nine columns that tie a detail to its service. Their types are the contract's, the same in all tables."""
OF_SERVICE = (
    "BEN_NIR_PSA", "EXE_SOI_DTD", "PFS_EXE_NUM", "PRS_NAT_REF", "CPL_MAJ_TOP", "CPL_AFF_COD", "PRS_ACT_QTE",
)  # fmt: skip
"""What a detail takes from its service."""


def sanitise(tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """The rows that stay. ``er_pha_f`` and ``er_cam_f`` carry their service's person, date, performer and nature.

    Supplements (CPL_MAJ_TOP = 2) stay: they are no visits, but a drug line is a drug line (sndsTools dropped this
    filter for drugs).
    """
    return {table: only_kept(rows) for table, rows in marked(tables).items()}


def marked(tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """Every row of every table, with the rule that leaves it out (``sieve``)."""
    persons = with_rules(
        tables["ir_ben_r"],
        {
            "fictitious_nir": F.coalesce("BEN_CDI_NIR", F.lit("")) != "00",
            "no_year_of_birth": F.col("BEN_NAI_ANN").isNull(),
        },
    )
    lines = tables["er_prs_f"].join(_identities(only_kept(persons)), [PERIOD, "BEN_NIR_PSA"], "left")
    services = with_rules(
        lines,
        {
            # a line belongs to the month of its flow: what stands in another one is there, or comes there
            "other_flow": F.trunc("FLX_DIS_DTD", "month") != month(),
            "implausible_date": ~possible_day(F.col("EXE_SOI_DTD")),
            # sent for information by a public hospital: the PMSI holds the act in full
            "hospital_information": (F.col("DPN_QLF") == 71) | (F.col("PRS_DPN_QLP") == 71),
            "excluded_scheme": (F.col("RGM_COD") == 888) & (F.col("RGM_GRG_COD") == 1),
            "fictitious_nir": F.col("BEN_CDI_NIR") != "00",
            "unknown_person": F.col("_identities").isNull(),
            "shared_pseudonym": F.col("_identities") > 1,
        },
    ).drop("_identities")
    parents = only_kept(services).select(PERIOD, *KEY, *OF_SERVICE, F.lit(True).alias("_parent"))
    orphan = F.col("_parent").isNull()
    drugs = tables["er_pha_f"].join(parents, [PERIOD, *KEY], "left")
    acts = tables["er_cam_f"].join(parents, [PERIOD, *KEY], "left")
    return {
        "ir_pha_r": with_rules(tables["ir_pha_r"], {"no_code": F.col("PHA_CIP_C13").isNull()}),
        "ir_ben_r": persons,
        "er_prs_f": services,
        "er_pha_f": with_rules(drugs, {"service_left_out": orphan, "reversal": F.col("PHA_ACT_QSN") <= 0}),
        "er_cam_f": with_rules(acts, {"service_left_out": orphan, "partial_phase": F.col("CAM_TRT_PHA") > 1}),
    }


def _identities(persons: DataFrame) -> DataFrame:
    """One row per slice and pseudonym: ``_identities``, the people who share it; a row without identity is one more."""
    identity = F.coalesce(F.hex("BEN_IDT_ANO"), F.col("BEN_RNG_GEM").cast("string"))
    return persons.groupBy(PERIOD, "BEN_NIR_PSA").agg(F.count_distinct(identity).alias("_identities"))
