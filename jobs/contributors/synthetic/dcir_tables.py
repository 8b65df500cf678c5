"""Claims as text: the five tables of the DCIR, from numbered lines, their drugs and their acts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jobs.contributors.synthetic import places, text
from jobs.contributors.synthetic.calendar import Ints, first_day
from jobs.contributors.synthetic.codes import Universe
from jobs.contributors.synthetic.population import NEVER, Population
from schemas.loader import load_table

PERFORMERS = {
    "pharmacy": "2", "specialist": "3", "technical": "4", "nurse": "6", "physiotherapist": "7", "laboratory": "8",
}  # fmt: skip
KEY = load_table("dcir", "er_prs_f").key


def _performer(population: Population, lines: pd.DataFrame) -> text.Texts:
    """PFS_EXE_NUM: nine characters, or none for hospitals and allowances."""
    gps = population.gps
    numbers, kinds = lines["number"].to_numpy(), lines["performer"].to_numpy()
    out = np.full(len(lines), None, dtype=object)
    out[kinds == "gp"] = text.pick(gps["claims_id"].to_numpy(dtype=object), numbers[kinds == "gp"])
    department, practice = [d[:2] for d in gps["department"]], gps["practice"].tolist()
    for kind, digit in PERFORMERS.items():
        mine = kinds == kind
        pairs, where = np.unique(
            np.stack([numbers[mine], lines["specialty"].to_numpy()[mine]]), axis=1, return_inverse=True
        )
        names = [f"{department[n]}{digit}{practice[n] % 10000:04d}{s:02d}" for n, s in pairs.T.tolist()]
        out[mine] = np.array(names, dtype=object)[where.ravel()] if names else None
    return out


def _key(lines: pd.DataFrame, funds: text.Texts, month: int) -> dict[str, text.Texts]:
    size = len(lines)
    return {
        "FLX_DIS_DTD": text.same(text.dates(np.array([first_day(month)]))[0], size),
        "FLX_TRT_DTD": text.dates(lines["treated"].to_numpy()),
        "FLX_EMT_TYP": text.same("1", size),
        "FLX_EMT_NUM": text.whole(1 + lines["person"].to_numpy() % 3),
        "FLX_EMT_ORD": text.same("1", size),
        "ORG_CLE_NUM": funds,
        "DCT_ORD_NUM": text.whole(lines["statement"].to_numpy()),
        "PRS_ORD_NUM": text.whole(lines["order"].to_numpy()),
        "REM_TYP_AFF": text.same("1", size),
    }


def _age_code(birth: Ints, day: Ints) -> Ints:
    """BEN_AMA_COD: 1000 to 1023 are months below the age of two, otherwise years."""
    months = ((day - birth) / 30.4375).astype(np.int64)
    return np.where(months < 24, 1000 + np.clip(months, 0, 23), months // 12)


def er_prs_f(population: Population, lines: pd.DataFrame, month: int) -> pd.DataFrame:
    """One row per line, in its order, with its tag."""
    who, size = lines["person"].to_numpy(), len(lines)
    day, sign = lines["day"].to_numpy(), lines["sign"].to_numpy()
    quantity = lines["quantity"].to_numpy() * sign
    total = lines["price"].to_numpy() * quantity
    rate = lines["rate"].to_numpy()
    complement = lines["surcharge"].to_numpy() == 2
    funds = population.column("fund")[who]
    year = population.ints("birth").astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)[who] + 1970
    gp_number = population.gps["claims_id"].to_numpy(dtype=object)
    prescriber = lines["prescriber"].to_numpy()
    has_prescriber = prescriber >= 0
    hospital = lines["performer"].to_numpy() == "hospital"
    fees = np.where((lines["specialty"].to_numpy() > 1) & (who % 7 == 0), 1000, 0) * sign
    columns = {
        **_key(lines, funds, month),
        "ORG_CLE_NEW": funds,
        "BEN_NIR_PSA": population.column("psa")[who],
        "BEN_RNG_GEM": text.whole(population.ints("rank")[who]),
        "BEN_CDI_NIR": population.column("cdi")[who],
        "BEN_SEX_COD": text.whole(population.ints("sex")[who]),
        "BEN_NAI_ANN": text.whole(year),
        "BEN_AMA_COD": text.whole(_age_code(population.ints("birth")[who], day)),
        "BEN_RES_DPT": text.pick([places.dcir_department(d) for d in population.column("department")], who),
        "BEN_DCD_DTE": text.dates(_known_death(population, month)[who], none_after=NEVER - 1),
        "BEN_CMU_TOP": population.column("solidarity")[who],
        "ORG_AFF_BEN": funds,
        "EXE_SOI_DTD": text.dates(day),
        "EXE_SOI_DTF": text.dates(day + lines["nights"].to_numpy()),
        "PRE_PRE_DTD": text.dates_or_none(lines["prescribed"].to_numpy()),
        "PRS_NAT_REF": text.whole(lines["nature"].to_numpy()),
        "BSE_PRS_NAT": text.whole(lines["base_nature"].to_numpy()),
        "PRS_ACT_QTE": text.whole(quantity),
        "PRS_ACT_NBR": text.whole(quantity),
        "PRS_PAI_MNT": text.money(total + fees),
        "PRS_DEP_MNT": text.money(fees),
        "BSE_REM_BSE": text.money(np.where(complement, 0, total)),
        "BSE_REM_PRU": text.money(lines["price"].to_numpy()),
        "BSE_REM_MNT": text.money(np.where(complement, 0, total * rate // 100)),
        "BSE_REM_SGN": text.whole(np.where(sign < 0, 2, 1)),
        "CPL_REM_MNT": text.money(np.where(complement, total * rate // 100, 0)),
        "RGO_REM_TAU": text.whole(rate),
        "DPN_QLF": text.whole(lines["qualifier"].to_numpy()),
        "PRS_DPN_QLP": text.whole(lines["sent_qualifier"].to_numpy()),
        "CPL_MAJ_TOP": text.whole(lines["surcharge"].to_numpy()),
        "CPL_AFF_COD": text.whole(lines["complement"].to_numpy()),
        "EXO_MTF": text.pick(["0", "42"], (rate == 100).astype(np.int64)),
        "RGM_COD": text.same("101", size),
        "RGM_GRG_COD": text.same("1", size),
        "PFS_EXE_NUM": _performer(population, lines),
        "PFS_PRE_NUM": text.either(has_prescriber, gp_number[np.maximum(prescriber, 0)], None),
        "PSE_SPE_COD": text.whole(lines["specialty"].to_numpy()),
        "PSE_ACT_NAT": text.whole(lines["activity"].to_numpy()),
        "PSP_SPE_COD": text.whole(np.where(has_prescriber, 1, 0)),
        "ETB_PRE_FIN": text.either(
            hospital, text.pick([places.hospital(d, 0)[:8] for d in population.column("department")], who), None
        ),
    }
    table = text.frame(columns, load_table("dcir", "er_prs_f").names)
    return table.assign(_tag=lines["tag"].to_numpy())


def _known_death(population: Population, month: int) -> Ints:
    """Day of death as the insurance knows it when the flow is made, else ``NEVER``."""
    death = population.ints("death")
    known = (death < first_day(month)) & (np.arange(death.size) % 20 != 0)
    return np.where(known, death, NEVER)


def _details(table: str, parents: pd.DataFrame, rows: pd.DataFrame, columns: dict[str, text.Texts]) -> pd.DataFrame:
    head = parents.loc[rows["line"].to_numpy()]
    inherited = {name: head[name].to_numpy(dtype=object) for name in (*KEY, "ORG_CLE_NEW")}
    return text.frame({**inherited, **columns}, load_table("dcir", table).names).assign(_tag=head["_tag"].to_numpy())


def er_pha_f(universe: Universe, parents: pd.DataFrame, drugs: pd.DataFrame) -> pd.DataFrame:
    """One row per drug of a line. ``parents``: ER_PRS_F by line number."""
    drug, size = drugs["drug"].to_numpy(), len(drugs)
    columns = {
        "PHA_ORD_NUM": text.whole(np.asarray(drugs.groupby("line").cumcount() + 1, dtype=np.int64)),
        "PHA_PRS_C13": text.pick([r["cip13"] for r in universe.drugs], drug),
        "PHA_PRS_IDE": text.pick([r["cip7"] for r in universe.drugs], drug),
        "PHA_ACT_QSN": text.whole((drugs["boxes"] * drugs["sign"]).to_numpy()),
        "PHA_ACT_PRU": text.money(universe.drug_price[drug]),
        "PHA_DEC_TOP": text.same("N", size),
        "PHA_DEC_QSU": text.same("0", size),
        "PHA_SEQ_RNV": text.whole(drugs["renewal"].to_numpy()),
        "PHA_SUB_MTF": text.whole(drug % 3),
    }
    return _details("er_pha_f", parents, drugs, columns)


def er_cam_f(universe: Universe, parents: pd.DataFrame, acts: pd.DataFrame) -> pd.DataFrame:
    """One row per act of a line. ``parents``: ER_PRS_F by line number."""
    act, size = acts["act"].to_numpy(), len(acts)
    columns = {
        "CAM_ORD_NUM": text.same("1", size),
        "CAM_PRS_IDE": text.pick([r["code"] for r in universe.acts], act),
        "CAM_ACT_COD": text.same("1", size),
        "CAM_TRT_PHA": text.same("0", size),
        "CAM_DOC_EXT": text.same(None, size),
        "CAM_MOD_COD": text.same(None, size),
        "CAM_ASS_COD": text.pick([None, "1"], (act % 4 == 0).astype(np.int64)),
        "CAM_ACT_PRU": text.money(universe.act_price[act]),
        "CAM_REM_BSE": text.money(universe.act_price[act]),
    }
    return _details("er_cam_f", parents, acts, columns)


def ir_pha_r(universe: Universe, drugs: pd.DataFrame) -> pd.DataFrame:
    """One row per package that the month's lines name."""
    rows = [universe.drugs[i] for i in np.unique(drugs["drug"].to_numpy(dtype=np.int64))]
    source = {
        "PHA_CIP_C13": "cip13", "PHA_PRS_IDE": "cip7", "PHA_ATC_C07": "atc", "PHA_MED_NOM": "label",
        "PHA_NOM_PA": "substance", "PHA_UNT_NBR_DSES": "units_per_box", "PHA_DOS_UNT_DSES": "strength",
        "PHA_FRM_LIB": "form",
    }  # fmt: skip
    columns = {name: np.array([r[key] or None for r in rows], dtype=object) for name, key in source.items()}
    return text.frame(columns, load_table("dcir", "ir_pha_r").names)


def ir_ben_r(population: Population, lines: pd.DataFrame, month: int) -> pd.DataFrame:
    """Every (pseudonym, rank) whose pseudonym the month's lines name: twins always come together."""
    latest = lines.groupby("person")["treated"].max()
    pseudonyms = population.persons["psa"]
    named = pseudonyms.isin(pseudonyms.iloc[latest.index.to_numpy()]).to_numpy()
    who, size = np.flatnonzero(named), int(named.sum())
    birth = population.ints("birth")[who].astype("datetime64[D]")
    own, psa = population.column("identity")[who], population.column("psa")[who]
    known = np.array([o is not None for o in own], dtype=bool)
    derived = np.array([f"{p}{r}" for p, r in zip(psa, population.ints("rank")[who], strict=True)], dtype=object)
    death = _known_death(population, month)[who]
    treated = latest.reindex(who).fillna(first_day(month) - 1).to_numpy().astype(np.int64)
    funds = population.column("fund")[who]
    place = pd.DataFrame({"d": population.column("department")[who], "c": population.column("commune")[who]})
    created = text.dates(np.array([first_day(month - 24)]))[0]
    dead_month = text.dates(death, "%Y%m", none_after=NEVER - 1, none="160001")
    columns = {
        "BEN_NIR_PSA": psa,
        "BEN_RNG_GEM": text.whole(population.ints("rank")[who]),
        "BEN_NIR_ANO": own,
        "BEN_IDT_ANO": text.either(known, own, derived),
        "BEN_IDT_TOP": text.whole(known.astype(np.int64)),
        "BEN_IDT_MAJ": text.same(created, size),
        "ASS_NIR_ANO": population.column("holder_identity")[who],
        "BEN_CDI_NIR": population.column("cdi")[who],
        "BEN_NAI_ANN": text.whole(birth.astype("datetime64[Y]").astype(np.int64) + 1970),
        "BEN_NAI_MOI": text.whole(birth.astype("datetime64[M]").astype(np.int64) % 12 + 1),
        "BEN_SEX_COD": text.whole(population.ints("sex")[who]),
        "BEN_DCD_DTE": text.dates(death, none_after=NEVER - 1),
        "BEN_DCD_AME": dead_month,
        "ORG_AFF_BEN": funds,
        "BEN_RES_DPT": np.array([places.dcir_department(d) for d in place["d"]], dtype=object),
        "BEN_RES_COM": place["c"].to_numpy(dtype=object),
        "BEN_TOP_CNS": text.same("1", size),
        "MAX_TRT_DTD": text.dates(treated),
        "ORG_CLE_NEW": funds,
        "BEN_DTE_INS": text.same(created, size),
        "BEN_DTE_MAJ": text.dates(treated),
    }
    return text.frame(columns, load_table("dcir", "ir_ben_r").names)
