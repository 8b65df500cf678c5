"""What the filters that every analyst of the PMSI MCO applies (SNDS documentation) look at: ``filters.toml`` states
them."""

from __future__ import annotations

import csv
from functools import cache, reduce
from operator import or_
from pathlib import Path

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.harmonise.bounds import possible_day
from jobs.harmonise.stem import PERIOD
from jobs.sources.filters import only_kept, with_filters
from jobs.sources.protocol import Tables, load_filters

STAY = ("ETA_NUM", "RSA_NUM")
"""Key of a stay inside a slice: RSA numbers start again with every file."""
RETURN_CODES = (
    "NIR_RET", "NAI_RET", "SEX_RET", "SEJ_RET", "FHO_RET", "PMS_RET", "DAT_RET", "COH_NAI_RET", "COH_SEX_RET",
    "RNG_NAI_RET",
)  # fmt: skip
"""Checks of the chaining; '0' is not a fault. A code that is absent (older years) was not checked."""
OF_LINK = ("NIR_ANO_17", "EXE_SOI_DTD", "EXE_SOI_DTF", *RETURN_CODES)
OF_STAY = ("NIR_ANO_17", "EXE_SOI_DTD")
DUPLICATES = Path(__file__).with_name("duplicate_finess.csv")


def filters(tables: Tables) -> Tables:
    """Every row, with the filter that leaves it out: ``t_mcoaab`` carries its person and dates, ``t_mcoaad`` and
    ``t_mcoaaa`` theirs.

    Placeholders of NIR_ANO_17 are gone before: the contract reads them as NULL, they never become a pseudonym.
    """
    declared = load_filters("pmsi_mco")
    links = tables["t_mcoaac"].select(PERIOD, *STAY, *OF_LINK, F.lit(True).alias("_link"))
    linked = tables["t_mcoaab"].join(links, [PERIOD, *STAY], "left")
    looked_at = {
        "_duplicate": _is_duplicate(F.col("ETA_NUM"), F.col("SOR_ANN")),
        "_possible": possible_day(F.col("EXE_SOI_DTD")) & possible_day(exit_day()),
    }
    judged = with_filters(linked.withColumns(looked_at), declared["t_mcoaab"])
    stays = judged.drop("_link", *looked_at, *RETURN_CODES)
    parents = only_kept(stays).select(PERIOD, *STAY, *OF_STAY, F.lit(True).alias("_parent"))
    diagnoses = tables["t_mcoaad"].join(parents, [PERIOD, *STAY], "left")
    acts = tables["t_mcoaaa"].join(parents, [PERIOD, *STAY], "left")
    act_day = possible_day(F.date_add("EXE_SOI_DTD", "ENT_DAT_DEL"))
    return {
        "t_mcoaab": stays,
        "t_mcoaac": with_filters(tables["t_mcoaac"], declared["t_mcoaac"]),
        "t_mcoaad": with_filters(diagnoses, declared["t_mcoaad"]),
        "t_mcoaaa": with_filters(acts.withColumn("_possible", act_day), declared["t_mcoaaa"]),
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
