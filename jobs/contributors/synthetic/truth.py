"""The oracle: what the lake's OMOP tables should hold, worked out from what the generator made, without Spark.

It reads the generator's own tables (with their tags) and never a file of the hub. The rules, each on kept rows only:

- dcir: persons are the pseudonyms of IR_BEN_R with BEN_CDI_NIR 00; a pseudonym that stands for two BEN_IDT_ANO is left
  out everywhere. Lines count unless DPN_QLF or PRS_DPN_QLP is 71, the scheme is 888/01, or BEN_CDI_NIR is not 00. A
  visit is one (person, EXE_SOI_DTD, PFS_EXE_NUM, kind of contact) among lines with CPL_MAJ_TOP below 2, CPL_AFF_COD not
  16, PRS_NAT_REF outside 6000-6999 and a positive quantity; the kind is pharmacy 330x-339x, laboratory 320x-329x, home
  120x-129x, remote 119x or care; its code is the lowest PRS_NAT_REF. One drug per ER_PHA_F line with boxes above 0,
  one procedure per ER_CAM_F line of phase 0 or 1.
- pmsi_mco: stays count unless GHM 90, type B, a duplicate FINESS (discharged until 2017), a return code other than 0,
  no pseudonym, no age. One visit a stay, coded ``day`` (no night, or session) or ``stay``; one condition per stay and
  distinct code among DGN_PAL, DGN_REL, ASS_DGN; one procedure per act of phase 0 or 1.
- ville: patients count when their identity is ok, they did not object (in any practice) and their birth is known. One
  visit per encounter, one condition per coded problem, one drug per prescription line (CIP13, else ATC).
- concepts: one row per usable target of the code in source_to_concept_map (valid, standard, not 0), in the table of the
  target's domain; a code without any keeps one row with concept 0 in the table of its kind; a visit is always one row.
- person: whoever has an event and is described in the same delivery, under a pseudonym that stands for one person.
  death: those among them with a date of death (IR_BEN_R), a stay left by death (SOR_MOD 9) or a deceased_date.
- of several published versions of a month the highest counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from jobs.contributors.synthetic import places
from jobs.contributors.synthetic.codes import read
from jobs.contributors.synthetic.deliveries import KEPT, Delivery
from jobs.contributors.synthetic.pmsi import PLACEHOLDER, RETURNS
from jobs.contributors.synthetic.text import NO_DATE
from schemas.loader import load_table

TABLE_OF_DOMAIN = {
    "Visit": "visit_occurrence",
    "Condition": "condition_occurrence",
    "Drug": "drug_exposure",
    "Procedure": "procedure_occurrence",
}
TABLE_OF_KIND = {
    "visit": "visit_occurrence",
    "condition": "condition_occurrence",
    "drug": "drug_exposure",
    "procedure": "procedure_occurrence",
}
STAY = ["ETA_NUM", "RSA_NUM"]


@dataclass(frozen=True)
class Contribution:
    """What one delivery gives. ``events``: rows (person, table, unmapped, n); the others are sets of pseudonyms."""

    delivery: str
    events: pd.DataFrame
    described: frozenset[str]
    shared: frozenset[str]
    dead: frozenset[str]


@cache
def targets() -> dict[tuple[str, str], tuple[str, ...]]:
    """Tables of the usable targets of each (vocabulary, code)."""
    domain = {
        r["concept_id"]: TABLE_OF_DOMAIN.get(r["domain_id"])
        for r in read("concept.csv")
        if r["standard_concept"] == "S" and not r["invalid_reason"]
    }
    of_code: dict[tuple[str, str], dict[str, str]] = {}
    for row in read("source_to_concept_map.csv"):
        table = domain.get(row["target_concept_id"])
        if table and row["target_concept_id"] != "0" and not row["invalid_reason"]:
            of_code.setdefault((row["source_vocabulary_id"], row["source_code"]), {})[row["target_concept_id"]] = table
    return {key: tuple(tables.values()) for key, tables in of_code.items()}


def route(kind: str, vocabulary: str, code: str) -> tuple[tuple[str, bool], ...]:
    """(table, unmapped) of every row that one event becomes."""
    tables = [t for t in targets().get((vocabulary, code), ()) if (t == "visit_occurrence") == (kind == "visit")]
    if kind == "visit":
        return ((TABLE_OF_KIND[kind], not tables),)
    return tuple((t, False) for t in tables) or ((TABLE_OF_KIND[kind], True),)


def contribution(delivery: Delivery) -> Contribution:
    """What a delivery gives once it is published."""
    kept = {name: t[t["_tag"] == KEPT] for name, t in delivery.tables.items()}
    make = {"dcir": _dcir, "pmsi_mco": _pmsi, "ville": _ville}[delivery.source]
    parts, described, shared, dead = make(kept)
    made = []
    for kind, vocabulary, rows in parts:
        counts = rows.groupby(["person", "code"]).size().rename("n").reset_index()
        ways = {c: route(kind, vocabulary, c) for c in counts["code"].unique()}
        made += [
            (person, table, unmapped, n)
            for person, code, n in counts.itertuples(index=False, name=None)
            for table, unmapped in ways[code]
        ]
    rows_made = pd.DataFrame(made, columns=["person", "table", "unmapped", "n"])
    events = rows_made.groupby(["person", "table", "unmapped"])["n"].sum().reset_index()
    return Contribution(delivery.id, events, frozenset(described), frozenset(shared), frozenset(dead))


Parts = tuple[list[tuple[str, str, pd.DataFrame]], Iterable[str], Iterable[str], Iterable[str]]


def _events(kind: str, vocabulary: str, person: pd.Series, code: pd.Series) -> tuple[str, str, pd.DataFrame]:
    return kind, vocabulary, pd.DataFrame({"person": person.to_numpy(), "code": code.to_numpy()})


def _dcir(kept: dict[str, pd.DataFrame]) -> Parts:
    people = kept["ir_ben_r"][kept["ir_ben_r"]["BEN_CDI_NIR"] == "00"]
    identities = people.groupby("BEN_NIR_PSA")["BEN_IDT_ANO"].nunique()
    shared = identities.index[identities > 1]
    lines = kept["er_prs_f"]
    lines = lines[
        (lines["DPN_QLF"] != "71")
        & (lines["PRS_DPN_QLP"] != "71")
        & ~((lines["RGM_COD"] == "888") & (lines["RGM_GRG_COD"] == "1"))
        & (lines["BEN_CDI_NIR"] == "00")
        & lines["BEN_NIR_PSA"].isin(identities.index[identities == 1])
    ]
    nature = lines["PRS_NAT_REF"].astype(int)
    visits = lines.assign(nature=nature, place=nature.map(_place))[
        (lines["CPL_MAJ_TOP"] < "2")
        & (lines["CPL_AFF_COD"] != "16")
        & ~nature.between(6000, 6999)
        & (lines["PRS_ACT_QTE"].astype(float) > 0)
    ]
    contact = ["BEN_NIR_PSA", "EXE_SOI_DTD", "PFS_EXE_NUM", "place"]
    contacts = visits.groupby(contact, dropna=False)["nature"].min().astype(str).reset_index()
    key = list(load_table("dcir", "er_prs_f").key)
    drugs = kept["er_pha_f"].merge(lines[[*key, "BEN_NIR_PSA"]], on=key)
    drugs = drugs.loc[drugs["PHA_ACT_QSN"].astype(int) > 0]
    acts = kept["er_cam_f"].merge(lines[[*key, "BEN_NIR_PSA"]], on=key)
    acts = acts[acts["CAM_TRT_PHA"].astype(int) <= 1]
    parts = [
        _events("visit", "PRS_NAT_REF", contacts["BEN_NIR_PSA"], contacts["nature"]),
        _events("drug", "CIP13", drugs["BEN_NIR_PSA"], drugs["PHA_PRS_C13"]),
        _events("procedure", "CCAM", acts["BEN_NIR_PSA"], acts["CAM_PRS_IDE"]),
    ]
    return parts, people["BEN_NIR_PSA"], shared, people.loc[people["BEN_DCD_DTE"] != NO_DATE, "BEN_NIR_PSA"]


def _place(nature: int) -> str:
    tens = nature // 10
    if 330 <= tens <= 339:
        return "pharmacy"
    if 320 <= tens <= 329:
        return "laboratory"
    if 120 <= tens <= 129:
        return "home"
    return "remote" if tens == 119 else "care"


def _pmsi(kept: dict[str, pd.DataFrame]) -> Parts:
    links = kept["t_mcoaac"]
    sound = (links[[*RETURNS, "RNG_NAI_RET"]] == "0").all(axis=1) & (links["NIR_ANO_17"] != PLACEHOLDER)
    stays = kept["t_mcoaab"].merge(links.loc[sound, [*STAY, "NIR_ANO_17"]], on=STAY)
    old = stays["SOR_ANN"].astype(int) <= places.LAST_DUPLICATE_YEAR
    copied = (stays["ETA_NUM"] == places.DUPLICATE_FINESS) & old
    aged = stays["AGE_ANN"].notna() | stays["AGE_JOU"].notna()
    stays = stays[~stays["GRG_GHM"].str.startswith("90") & (stays["SEJ_TYP"] != "B") & ~copied & aged]
    person = stays[[*STAY, "NIR_ANO_17"]]
    day = stays["SEJ_NBJ"].isna() | (stays["SEJ_NBJ"] == "0")
    diagnoses = pd.concat(
        [stays[[*STAY, column]].rename(columns={column: "code"}).dropna() for column in ("DGN_PAL", "DGN_REL")]
        + [kept["t_mcoaad"][[*STAY, "ASS_DGN"]].rename(columns={"ASS_DGN": "code"})]
    )
    diagnoses = diagnoses.drop_duplicates().merge(person, on=STAY)
    acts = kept["t_mcoaaa"].merge(person, on=STAY)
    acts = acts[acts["PHA_ACT"].isin(["0", "1"])]
    parts = [
        _events("visit", "MCO_STAY", stays["NIR_ANO_17"], day.map({True: "day", False: "stay"})),
        _events("condition", "CIM10", diagnoses["NIR_ANO_17"], diagnoses["code"]),
        _events("procedure", "CCAM", acts["NIR_ANO_17"], acts["CDC_ACT"]),
    ]
    return parts, stays["NIR_ANO_17"], (), stays.loc[stays["SOR_MOD"] == "9", "NIR_ANO_17"]


def _ville(kept: dict[str, pd.DataFrame]) -> Parts:
    patients = kept["patient"]
    objecting = patients.loc[patients["opposition"] == "1", "_psa"]
    patients = patients[~patients["_psa"].isin(objecting) & (patients["birth_date"] != "1900-01-01")]
    keys = ["practice_id", "patient_local_id"]
    encounters = kept["encounter"].merge(patients[[*keys, "_psa"]], on=keys)
    met = encounters[["practice_id", "encounter_id", "_psa"]]
    problems = kept["problem"].merge(met, on=["practice_id", "encounter_id"])
    problems = problems[problems["code"].notna() & problems["code_system"].notna()]
    drugs = kept["prescription"].merge(met, on=["practice_id", "encounter_id"])
    package = drugs["cip13"].notna()
    parts = [
        _events("visit", "VILLE_ENCOUNTER", encounters["_psa"], encounters["type"]),
        *[
            _events("condition", str(system), rows["_psa"], rows["code"])
            for system, rows in problems.groupby("code_system")
        ],
        _events("drug", "CIP13", drugs.loc[package, "_psa"], drugs.loc[package, "cip13"]),
        _events("drug", "ATC", drugs.loc[~package, "_psa"], drugs.loc[~package, "atc"]),
    ]
    return parts, patients["_psa"], (), patients.loc[patients["deceased_date"].notna(), "_psa"]


def lake_of(contributions: Iterable[Contribution]) -> dict[str, Any]:
    """Rows of the OMOP tables after these deliveries (at most one per source and month) are published.

    ``rows``: table -> number; ``by_delivery``: ``source/period`` -> table -> rows; ``unmapped``: rows with concept 0;
    ``linkage``: number of persons by the sources in which they have events (``dcir+ville``).
    """
    given = list(contributions)
    shared = frozenset().union(*(c.shared for c in given)) if given else frozenset()
    rows: dict[str, int] = dict.fromkeys(TABLE_OF_KIND.values(), 0)
    unmapped = dict(rows)
    by_delivery: dict[str, dict[str, int]] = {}
    sources: dict[str, set[str]] = {}
    dead = frozenset().union(*(c.dead for c in given)) if given else frozenset()
    for c in given:
        events = c.events[~c.events["person"].isin(shared)]
        month = c.delivery.rsplit("/", 1)[0]
        by_delivery[month] = {str(t): int(n) for t, n in events.groupby("table")["n"].sum().items()}
        for table, n in by_delivery[month].items():
            rows[table] += n
        for name, lost in events[events["unmapped"]].groupby("table")["n"].sum().items():
            unmapped[str(name)] += int(lost)
        for person in c.described & set(events["person"]):
            sources.setdefault(person, set()).add(c.delivery.split("/")[0])
    linkage: dict[str, int] = {}
    for of_person in sources.values():
        linkage["+".join(sorted(of_person))] = linkage.get("+".join(sorted(of_person)), 0) + 1
    persons = len(sources)
    rows |= {"person": persons, "observation_period": persons, "death": len(dead & sources.keys())}
    return {
        "rows": rows,
        "unmapped": unmapped,
        "by_delivery": dict(sorted(by_delivery.items())),
        "linkage": dict(sorted(linkage.items())),
        "shared_pseudonyms": len(shared),
    }
