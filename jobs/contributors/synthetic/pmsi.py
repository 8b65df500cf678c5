"""Hospitals: from stays to the four files of one month of discharge (T_MCOaaB, C, D, A)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jobs.contributors.synthetic import places, text
from jobs.contributors.synthetic.calendar import period_of
from jobs.contributors.synthetic.hospital import Stays
from jobs.contributors.synthetic.population import Population, stream
from schemas.loader import load_table

PLACEHOLDER = "x" * 17
RETURNS = ("NIR_RET", "NAI_RET", "SEX_RET", "SEJ_RET", "FHO_RET", "PMS_RET", "DAT_RET", "COH_NAI_RET", "COH_SEX_RET")
COPIES = 0.004


def tables_of(population: Population, hospital: Stays, month: int) -> dict[str, pd.DataFrame]:
    """The tables of one month of discharge, in load order, as text with tags."""
    rng = stream(population.seed, "pmsi", month)
    stays, size = hospital.stays, len(hospital.stays)
    keys = {
        "ETA_NUM": stays["hospital"].to_numpy(dtype=object),
        "RSA_NUM": np.array([f"{period_of(month).replace('-', '')[2:]}{n:06d}" for n in stays["number"]], dtype=object),
    }
    year, number = text.same(period_of(month)[:4], size), text.same(str(int(period_of(month)[5:])), size)
    tables = {
        "t_mcoaab": _stays(population, hospital, keys, year, number),
        "t_mcoaac": _links(population, stays, keys, year, number),
        "t_mcoaad": _diagnoses(hospital, keys),
        "t_mcoaaa": _acts(hospital, keys),
    }
    return {name: text.with_copies(rng, table, COPIES) for name, table in tables.items()}


def _stays(
    population: Population, hospital: Stays, keys: dict[str, text.Texts], year: text.Texts, number: text.Texts
) -> pd.DataFrame:
    stays, size = hospital.stays, len(hospital.stays)
    who = stays["person"].to_numpy()
    session = stays["sessions"].to_numpy() > 0
    days = stays["entry"].to_numpy() - population.ints("birth")[who]
    years = (days / 365.25).astype(np.int64)

    def count(rows: pd.DataFrame) -> text.Texts:
        return text.whole(np.bincount(rows["stay"], minlength=size))

    columns = {
        **keys,
        "RSS_NUM": text.same("229", size),
        "GRG_VER": text.same("11", size),
        "GRG_GHM": stays["ghm"].to_numpy(dtype=object),
        "GRG_RET": text.either(stays["grouped"], "000", "080"),
        "GHS_NUM": text.whole(1000 + 7 * stays["kind"].to_numpy()),
        "SEJ_TYP": text.either(stays["type"] == "B", "B", "A"),
        "SEJ_NBJ": text.either(session, None, text.whole(stays["nights"].to_numpy())),
        "NBR_SEA": text.whole(stays["sessions"].to_numpy()),
        "NBR_RUM": text.same("1", size),
        "NBR_DGN": count(hospital.diagnoses),
        "NBR_ACT": count(hospital.acts),
        "DGN_PAL": stays["main"].to_numpy(dtype=object),
        "DGN_REL": _or_none(stays["related"]),
        "AGE_ANN": text.either(years >= 1, text.whole(years), None),
        "AGE_JOU": text.either(years < 1, text.whole(days), None),
        "COD_SEX": text.whole(population.ints("sex")[who]),
        "BDI_DEP": np.array([places.pmsi_department(d) for d in population.column("department")[who]], dtype=object),
        "ENT_MOD": stays["entry_mode"].to_numpy(dtype=object),
        "ENT_PRV": _or_none(stays["provenance"]),
        "SOR_MOD": stays["exit_mode"].to_numpy(dtype=object),
        "SOR_DES": _or_none(stays["destination"]),
        "SOR_MOI": number,
        "SOR_ANN": year,
    }
    return text.frame(columns, load_table("pmsi_mco", "t_mcoaab").names)


def _or_none(column: pd.Series) -> text.Texts:
    values = column.to_numpy(dtype=object)
    return text.either(values == "", None, values)


def _links(
    population: Population, stays: pd.DataFrame, keys: dict[str, text.Texts], year: text.Texts, number: text.Texts
) -> pd.DataFrame:
    """A link that failed: the NIR is missing (placeholder instead of the pseudonym), or birth or sex are at fault."""
    size, who = len(stays), stays["person"].to_numpy()
    failed = np.where(stays["linked"], -1, who % 3)
    returns = {name: text.same("0", size) for name in (*RETURNS, "RNG_NAI_RET")}
    for column, kind, code in (("NIR_RET", 0, "2"), ("NAI_RET", 1, "9"), ("SEX_RET", 2, "1")):
        returns[column][failed == kind] = code
    columns = {
        **keys,
        "NIR_ANO_17": text.either(failed == 0, PLACEHOLDER, population.column("psa")[who]),
        **returns,
        "RNG_NAI": text.whole(population.ints("rank")[who]),
        "SEJ_NUM": text.whole(10_000 + stays["entry"].to_numpy() % 50_000),
        "EXE_SOI_DTD": text.dates(stays["entry"].to_numpy()),
        "EXE_SOI_DTF": text.dates((stays["entry"] + stays["nights"]).to_numpy()),
        "SOR_MOI": number,
        "SOR_ANN": year,
    }
    return text.frame(columns, load_table("pmsi_mco", "t_mcoaac").names)


def _diagnoses(hospital: Stays, keys: dict[str, text.Texts]) -> pd.DataFrame:
    rows = hospital.diagnoses
    columns = {
        **{name: values[rows["stay"].to_numpy()] for name, values in keys.items()},
        "RSS_NUM": text.same("229", len(rows)),
        "DGN_ASS_NUM": text.whole(rows["rank"].to_numpy()),
        "ASS_DGN": rows["code"].to_numpy(dtype=object),
    }
    return text.frame(columns, load_table("pmsi_mco", "t_mcoaad").names)


def _acts(hospital: Stays, keys: dict[str, text.Texts]) -> pd.DataFrame:
    rows = hospital.acts
    columns = {
        **{name: values[rows["stay"].to_numpy()] for name, values in keys.items()},
        "RSS_NUM": text.same("229", len(rows)),
        "ENT_DAT_DEL": text.whole(rows["delay"].to_numpy()),
        "CDC_ACT": rows["code"].to_numpy(dtype=object),
        "PHA_ACT": text.same("0", len(rows)),
        "ACV_ACT": rows["activity"].to_numpy(dtype=object),
        "MOD_ACT": text.same(None, len(rows)),
        "ANP_ACT": text.same(None, len(rows)),
        "NBR_EXE_ACT": text.whole(rows["times"].to_numpy()),
    }
    return text.frame(columns, load_table("pmsi_mco", "t_mcoaaa").names)
