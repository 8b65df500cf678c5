"""Filters that every analyst of the PMSI MCO applies (SNDS documentation), one name each."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache, reduce
from operator import or_
from pathlib import Path

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.bounds import month, possible_day
from jobs.harmonise.stem import PERIOD
from jobs.sources.sieve import only_kept, with_rules

STAY = ("ETA_NUM", "RSA_NUM")
"""Key of a stay inside a slice: RSA numbers start again with every file."""
RETURN_CODES = (
    "NIR_RET", "NAI_RET", "SEX_RET", "SEJ_RET", "FHO_RET", "PMS_RET", "DAT_RET", "COH_NAI_RET", "COH_SEX_RET",
    "RNG_NAI_RET",
)  # fmt: skip
"""Checks of the chaining; '0' is no fault. A code that is absent (older years) was not checked."""
OF_LINK = ("NIR_ANO_17", "EXE_SOI_DTD", "EXE_SOI_DTF", *RETURN_CODES)
OF_STAY = ("NIR_ANO_17", "EXE_SOI_DTD")
DUPLICATES = Path(__file__).with_name("duplicate_finess.csv")


def sanitise(tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """The rows that stay: ``t_mcoaab`` carries its person and dates, ``t_mcoaad`` and ``t_mcoaaa`` theirs.

    Placeholders of NIR_ANO_17 are gone before: the contract reads them as NULL, they never become a pseudonym.
    """
    return {table: only_kept(rows) for table, rows in marked(tables).items()}


def marked(tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """Every stay, diagnosis and act, with the rule that leaves it out (``sieve``)."""
    links = tables["t_mcoaac"].select(PERIOD, *STAY, *OF_LINK, F.lit(True).alias("_link"))
    stays = with_rules(
        tables["t_mcoaab"].join(links, [PERIOD, *STAY], "left"),
        {
            "ungrouped": F.col("GRG_GHM").startswith("90"),
            "service_for_another_hospital": F.col("SEJ_TYP") == "B",
            "duplicate_finess": _is_duplicate(F.col("ETA_NUM"), F.col("SOR_ANN")),
            # a stay belongs to the month of its discharge: cumulative files repeat it in the months after
            "other_month": (F.col("SOR_ANN") != F.year(month())) | (F.col("SOR_MOI") != F.month(month())),
            "no_link": F.col("_link").isNull(),
            "implausible_date": ~possible_day(F.col("EXE_SOI_DTD")) | ~possible_day(exit_day()),
            "return_code": reduce(or_, [F.coalesce(F.col(c) != "0", F.lit(False)) for c in RETURN_CODES]),
            "unknown_person": F.col("NIR_ANO_17").isNull(),
            "no_age": F.col("AGE_ANN").isNull() & F.col("AGE_JOU").isNull(),
        },
    ).drop("_link", *RETURN_CODES)
    parents = only_kept(stays).select(PERIOD, *STAY, *OF_STAY, F.lit(True).alias("_parent"))
    orphan = F.col("_parent").isNull()
    diagnoses = tables["t_mcoaad"].join(parents, [PERIOD, *STAY], "left")
    acts = tables["t_mcoaaa"].join(parents, [PERIOD, *STAY], "left")
    partial = ~F.col("PHA_ACT").isin("0", "1")
    outside = (F.col("ENT_DAT_DEL") < 0) | ~possible_day(F.date_add("EXE_SOI_DTD", "ENT_DAT_DEL"))
    return {
        "t_mcoaab": stays,
        "t_mcoaad": with_rules(diagnoses, {"stay_left_out": orphan}),
        "t_mcoaaa": with_rules(acts, {"stay_left_out": orphan, "partial_phase": partial, "implausible_date": outside}),
    }


def exit_day() -> Column:
    """Date of discharge; without it, admission plus the nights of the stay."""
    return F.coalesce("EXE_SOI_DTF", F.date_add("EXE_SOI_DTD", F.coalesce("SEJ_NBJ", F.lit(0))))


def _is_duplicate(finess: Column, year: Column) -> Column:
    """Stays that APHP, APHM and HCL sent twice, under the legal and the geographic number, in the years of the list."""
    spans: dict[tuple[int, int], list[str]] = {}
    for number, first, last in _duplicates():
        spans.setdefault((first, last), []).append(number)
    return reduce(or_, [finess.isin(*numbers) & year.between(*span) for span, numbers in spans.items()])


@cache
def _duplicates() -> tuple[tuple[str, int, int], ...]:
    with DUPLICATES.open(encoding="utf-8", newline="") as file:
        return tuple((r["finess"], int(r["first_year"]), int(r["last_year"])) for r in csv.DictReader(file))
