"""City medicine: from visits to the practices' raw exports of one month, with NIR, names and free text.

The raw patient table has ``nir`` where the delivery has ``patient_pseudonym`` and ``identity_status``; the latter is
kept here beside it (``_status``), as what the source agent should find. Free text holds the canaries: invented names.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from jobs.contributors.synthetic import clinical, names, places, text
from jobs.contributors.synthetic.calendar import Ints, first_day, period_of
from jobs.contributors.synthetic.care import Care
from jobs.contributors.synthetic.codes import Universe
from jobs.contributors.synthetic.population import NEVER, Population, stream
from schemas.loader import load_table

NIR = "nir"
TYPES = ("cabinet", "visite", "teleconsultation")
TEXT_ONLY = 0.12
"""Share of problems that a practitioner describes in words only."""
UNKNOWN_BIRTH = 0.004
STATES = ("actif", "inactif", "résolu")


def tables_of(population: Population, universe: Universe, care: Care, month: int) -> dict[str, pd.DataFrame]:
    """The raw tables of all practices that send, for visits in ``month``: text with tags, ``nir`` among the patient's.

    Rows carry their practice in ``practice_id``; one file per practice is made from them.
    """
    rng = stream(population.seed, "ville", month)
    sends = population.gps["sends"].to_numpy()[care.visits["gp"].to_numpy()]
    visits = care.visits[sends & (care.visits["day"] >= first_day(month))]
    practice = population.gps["practice"].to_numpy()[visits["gp"].to_numpy()]
    visits = visits.assign(practice=practice)
    visits["number"] = visits.groupby("practice").cumcount() + 1
    tables = {
        "patient": _patients(rng, population, visits, month),
        "encounter": _encounters(rng, population, visits, month),
        "problem": _problems(rng, population, visits, care.problems, month),
        "prescription": _prescriptions(rng, population, universe, visits, care.prescriptions, month),
    }
    tables["encounter"] = text.with_copies(rng, tables["encounter"], 0.004)
    tables["problem"] = text.with_copies(rng, tables["problem"], 0.002)
    return tables


def practice_ids(population: Population, practice: Ints) -> text.Texts:
    """Names of practices (CAB2A002)."""
    gps = population.gps.drop_duplicates("practice").set_index("practice")
    known = {p: f"CAB{gps.at[p, 'department']}{p:03d}" for p in gps.index}
    return np.array([known[int(p)] for p in practice], dtype=object)


def _local_ids(person: Ints, practice: Ints) -> text.Texts:
    """Record numbers: the same person has another one in another practice."""
    return text.whole(1_000_000 + (person * 7919 + practice * 104_729) % 9_000_000)


def _encounter_ids(visits: pd.DataFrame, month: int) -> text.Texts:
    prefix = period_of(month).replace("-", "")
    return np.array([f"E{prefix}{n:06d}" for n in visits["number"]], dtype=object)


def _patients(rng: np.random.Generator, population: Population, visits: pd.DataFrame, month: int) -> pd.DataFrame:
    pairs = visits[["practice", "person"]].drop_duplicates().sort_values(["practice", "person"], ignore_index=True)
    who, practice = pairs["person"].to_numpy(), pairs["practice"].to_numpy()
    sex = population.ints("sex")[who]
    nir = population.column("nir")[population.ints("holder")[who]]
    nir[population.persons["no_nir"].to_numpy()[who]] = None
    birth = text.dates(population.ints("birth")[who], text.ISO)
    unknown = rng.random(who.size) < UNKNOWN_BIRTH
    birth[unknown] = "1900-01-01"
    death = population.ints("death")[who]
    known_death = np.where(death < first_day(month + 1), death, NEVER)
    commune = np.array(
        [places.insee(d, c) for d, c in population.persons[["department", "commune"]].itertuples(index=False)],
        dtype=object,
    )[who]
    provisional = population.column("cdi")[who] != "00"
    missing = np.array([n is None for n in nir], dtype=bool)
    status = np.select([missing, provisional, unknown], ["nir_missing", "nir_provisional", "birth_date_missing"], "ok")
    columns = {
        "practice_id": practice_ids(population, practice),
        "patient_local_id": _local_ids(who, practice),
        NIR: nir,
        "birth_date": birth,
        # some practices' software writes letters
        "sex": text.either(practice % 4 == 2, text.pick(["", "M", "F"], sex), text.whole(sex)),
        "insee_commune": commune,
        "deceased_date": text.dates(known_death, text.ISO, none_after=NEVER - 1, none=None),
        "opposition": text.whole(population.persons["opposed"].to_numpy()[who].astype(np.int64)),
    }
    names_sent = load_table("ville", "patient").names
    raw = [NIR if n == "patient_pseudonym" else n for n in names_sent if n != "identity_status"]
    table = text.frame(columns, raw)
    table["_tag"] = np.where(status == "ok", "kept", "identity:" + status.astype(object))
    return table.assign(_person=who)


def _encounters(rng: np.random.Generator, population: Population, visits: pd.DataFrame, month: int) -> pd.DataFrame:
    who, practice = visits["person"].to_numpy(), visits["practice"].to_numpy()
    reason = rng.integers(0, len(names.REASONS), who.size)
    named = rng.random(who.size) < 0.2
    given, family = population.column("given")[who], population.column("name")[who]
    minutes = visits["minute"].to_numpy()
    days = text.dates(visits["day"].to_numpy(), text.ISO)
    columns = {
        "practice_id": practice_ids(population, practice),
        "encounter_id": _encounter_ids(visits, month),
        "patient_local_id": _local_ids(who, practice),
        "practitioner_rpps": population.gps["rpps"].to_numpy(dtype=object)[visits["gp"].to_numpy()],
        "date_time": np.array(
            [f"{d}T{m // 60:02d}:{m % 60:02d}:00" for d, m in zip(days, minutes, strict=True)], dtype=object
        ),
        "type": text.pick(TYPES, visits["place"].to_numpy()),
        "reason_text": np.array(
            [
                f"{g} {f} : {names.REASONS[r]}" if n else names.REASONS[r]
                for g, f, r, n in zip(given, family, reason, named, strict=True)
            ],
            dtype=object,
        ),
    }
    return text.frame(columns, load_table("ville", "encounter").names)


def _of_visits(
    population: Population, visits: pd.DataFrame, rows: pd.DataFrame, month: int
) -> tuple[pd.DataFrame, dict[str, text.Texts]]:
    """The rows of the visits that are sent, and their two key columns."""
    rows = rows[rows["visit"].isin(visits.index)]
    of = visits.loc[rows["visit"].to_numpy()]
    return rows, {
        "practice_id": practice_ids(population, of["practice"].to_numpy()),
        "encounter_id": _encounter_ids(of, month),
    }


def _problems(
    rng: np.random.Generator, population: Population, visits: pd.DataFrame, problems: pd.DataFrame, month: int
) -> pd.DataFrame:
    rows, keys = _of_visits(population, visits, problems, month)
    size = len(rows)
    cisp2, cim10 = rows["cisp2"].to_numpy(dtype=object), rows["cim10"].to_numpy(dtype=object)
    use_cisp2 = (cisp2 != "") & ((rng.random(size) < 0.8) | (cim10 == ""))
    words = rng.random(size) < TEXT_ONLY
    who = visits.loc[rows["visit"].to_numpy(), "person"].to_numpy()
    day = visits.loc[rows["visit"].to_numpy(), "day"].to_numpy()
    topics = {(d.cim10, d.cisp2): d.topic for d in (*clinical.DISEASES, *clinical.REASONS)}
    onset = text.dates(day - 30 * (who % 40), text.ISO)
    onset[who % 3 != 0] = None
    onset[who % 41 == 0] = "1900-01-01"
    columns = {
        **keys,
        "problem_rank": text.whole(rows["rank"].to_numpy()),
        "code": text.either(words, None, text.either(use_cisp2, cisp2, cim10)),
        "code_system": text.either(words, None, text.either(use_cisp2, "CISP2", "CIM10")),
        "label": np.array([topics[a, b].replace("_", " ") for a, b in zip(cim10, cisp2, strict=True)], dtype=object),
        "status": text.pick(STATES, np.where(who % 17 == 0, 1 + who % 2, 0)),
        "onset_date": onset,
    }
    return text.frame(columns, load_table("ville", "problem").names)


def _prescriptions(
    rng: np.random.Generator,
    population: Population,
    universe: Universe,
    visits: pd.DataFrame,
    prescriptions: pd.DataFrame,
    month: int,
) -> pd.DataFrame:
    rows, keys = _of_visits(population, visits, prescriptions, month)
    drug, size = rows["drug"].to_numpy(), len(rows)
    substance_only = rng.random(size) < 0.05
    columns = {
        **keys,
        "line_rank": text.whole(rows["rank"].to_numpy()),
        "cip13": text.either(substance_only, None, text.pick([r["cip13"] for r in universe.drugs], drug)),
        "atc": text.either(substance_only, text.pick([r["atc"] for r in universe.drugs], drug), None),
        "label": text.pick([r["label"] for r in universe.drugs], drug),
        "dose_text": text.pick(["1 matin", "1 matin ; 1 soir", "1 cp 3 fois par jour"], drug % 3),
        "quantity": text.whole(rows["boxes"].to_numpy()),
        "duration_days": text.whole(rows["days"].to_numpy()),
        "renewals": text.whole(rows["renewals"].to_numpy()),
    }
    return text.frame(columns, load_table("ville", "prescription").names)
