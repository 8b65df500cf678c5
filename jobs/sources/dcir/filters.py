"""What the filters that every analyst of the DCIR applies (SNDS documentation) look at: ``filters.toml`` states
them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.bounds import possible_day
from jobs.harmonise.stem import PERIOD
from jobs.sources.filters import only_kept, with_filters
from jobs.sources.protocol import Tables, load_filters

KEY = (
    "FLX_DIS_DTD", "FLX_TRT_DTD", "FLX_EMT_TYP", "FLX_EMT_NUM", "FLX_EMT_ORD", "ORG_CLE_NUM", "DCT_ORD_NUM",
    "PRS_ORD_NUM", "REM_TYP_AFF",
)  # fmt: skip
"""The nine columns that tie a detail to its service. Their types are the contract's, the same in all tables."""
OF_SERVICE = (
    "BEN_NIR_PSA", "EXE_SOI_DTD", "PFS_EXE_NUM", "PRS_NAT_REF", "CPL_MAJ_TOP", "CPL_AFF_COD", "PRS_ACT_QTE",
)  # fmt: skip
"""What a detail takes from its service."""


def filters(tables: Tables) -> Tables:
    """Every row, with the filter that leaves it out. ``er_pha_f`` and ``er_cam_f`` carry their service's person, date,
    performer and nature.

    Supplements (CPL_MAJ_TOP = 2) stay: they are not visits, but a drug line is a drug line (sndsTools dropped this
    filter for drugs).
    """
    declared = load_filters("dcir")
    persons = with_filters(tables["ir_ben_r"], declared["ir_ben_r"])
    lines = tables["er_prs_f"].join(_identities(only_kept(persons)), [PERIOD, "BEN_NIR_PSA"], "left")
    dated = lines.withColumn("_possible", possible_day(F.col("EXE_SOI_DTD")))
    services = with_filters(dated, declared["er_prs_f"])
    parents = only_kept(services).select(PERIOD, *KEY, *OF_SERVICE, F.lit(True).alias("_parent"))
    details = {t: tables[t].join(parents, [PERIOD, *KEY], "left") for t in ("er_pha_f", "er_cam_f")}
    return {
        "ir_pha_r": with_filters(tables["ir_pha_r"], declared["ir_pha_r"]),
        "ir_ben_r": persons,
        "er_prs_f": services,
        **{table: with_filters(rows, declared[table]) for table, rows in details.items()},
    }


def _identities(persons: DataFrame) -> DataFrame:
    """One row per slice and pseudonym: ``_identities``, the people who share it; a row without identity is one more."""
    identity = F.coalesce(F.hex("BEN_IDT_ANO"), F.col("BEN_RNG_GEM").cast("string"))
    return persons.groupBy(PERIOD, "BEN_NIR_PSA").agg(F.count_distinct(identity).alias("_identities"))
