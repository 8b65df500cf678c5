"""Hospital stays discharged in one month: diagnoses, acts dated by delay, sessions, deaths, and the usual traps.

Traps, each a few per cent or less: a stay that could not be grouped (GHM 90), a person who could not be linked
(return code, placeholder instead of the pseudonym), the same stay sent again under a geographic FINESS, a service for
another hospital (type B).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jobs.contributors.synthetic import clinical, places
from jobs.contributors.synthetic.calendar import Ints, days_in, first_day
from jobs.contributors.synthetic.codes import Universe
from jobs.contributors.synthetic.population import Population, stream

HOSPITALS = 3
"""Hospitals per département."""
FREQUENCY = 2
"""The kinds of stays in ``clinical.STAYS`` stand for all others too."""
DIES_IN_HOSPITAL = 0.6
MOST_UNLINKED = 0.04
"""Share of stays that may fail to be linked: above, stewards would rightly ask."""
ANAESTHESIA = "4"


@dataclass(frozen=True)
class Stays:
    """``stays``: one row per stay (person, entry, nights, kind, hospital, ghm, ...); ``stay`` numbers its rows in
    ``diagnoses`` (stay, rank, code) and ``acts`` (stay, delay, code, activity, times)."""

    stays: pd.DataFrame
    diagnoses: pd.DataFrame
    acts: pd.DataFrame


def stays_of(population: Population, universe: Universe, month: int) -> Stays:
    """All stays discharged in ``month`` (a month number), of persons whose NIR is not provisional."""
    rng = stream(population.seed, "hospital", month)
    stays = _draw(rng, population, universe, month)
    stays = pd.concat([stays, _last_stays(rng, population, universe, month)], ignore_index=True)
    stays = stays.drop_duplicates(["person", "entry"], keep="last", ignore_index=True)
    # one real stay at least, so that no month is empty
    if stays.empty:
        stays = _stay_rows(np.array([0]), np.array([_kind_of("R074")]), np.array([first_day(month)]), np.array([0]))
    stays = stays.sort_values(["entry", "person"], kind="stable", ignore_index=True)
    stays = _with_hospital(rng, population, stays)
    stays["number"] = np.arange(len(stays)) + 1
    stays = _with_traps(rng, stays, month)
    return Stays(stays, _diagnoses(rng, population, universe, stays), _acts(rng, population, universe, stays))


def _kind_of(main: str) -> int:
    return next(i for i, s in enumerate(clinical.STAYS) if s.main == main)


def _stay_rows(person: Ints, kind: Ints, out: Ints, nights: Ints) -> pd.DataFrame:
    return pd.DataFrame({"person": person, "kind": kind, "entry": out - nights, "nights": nights, "dead": False})


def _draw(rng: np.random.Generator, population: Population, universe: Universe, month: int) -> pd.DataFrame:
    age, sex = population.ints("age"), population.ints("sex")
    band = clinical.band_of(age)
    diseases = [d.cim10 for d in clinical.DISEASES]
    parts = []
    for kind, stay in enumerate(clinical.STAYS):
        rate = np.array(stay.rate)[band] * (1 if stay.needs else FREQUENCY) / 12_000
        if stay.needs:
            rate = np.where(population.diseases[:, diseases.index(stay.needs)], rate, 0.0)
        rate = np.where(universe.condition_limits.allow(universe.conditions[stay.main], sex, age), rate, 0.0)
        count = rng.poisson(rate) if stay.session else (rng.random(rate.size) < rate).astype(np.int64)
        person = np.repeat(np.arange(rate.size), count)
        out = first_day(month) + rng.integers(0, days_in(month), person.size)
        nights = rng.integers(stay.nights[0], stay.nights[1] + 1, person.size)
        parts.append(_stay_rows(person, np.full(person.size, kind), out, nights))
    stays = pd.concat(parts, ignore_index=True)
    who, out = stays["person"].to_numpy(), (stays["entry"] + stays["nights"]).to_numpy()
    alive = (out < population.ints("death")[who]) & (stays["entry"].to_numpy() > population.ints("birth")[who])
    alive &= (population.column("cdi") == "00")[who]
    # a session is not a reason to leave a bed: no stay begins within another of the same person
    stays = stays[alive].sort_values(["person", "entry", "kind"], kind="stable", ignore_index=True)
    ends = (stays["entry"] + stays["nights"]).groupby(stays["person"]).cummax()
    before = ends.groupby(stays["person"]).shift()
    apart: pd.DataFrame = stays[before.isna() | (stays["entry"] > before)]
    return apart.reset_index(drop=True)


def _last_stays(rng: np.random.Generator, population: Population, universe: Universe, month: int) -> pd.DataFrame:
    death = population.ints("death")
    inside = (death >= first_day(month)) & (death < first_day(month + 1)) & (population.column("cdi") == "00")
    person = np.flatnonzero(inside & (np.random.default_rng(population.seed).random(death.size) < DIES_IN_HOSPITAL))
    kinds = np.array([_kind_of(m) for m in clinical.LAST_STAYS])
    kind = rng.choice(kinds, person.size)
    main = np.array([universe.conditions[clinical.STAYS[k].main] for k in kind], dtype=np.int64)
    fits = universe.condition_limits.allow(main, population.ints("sex")[person], population.ints("age")[person])
    kind = np.where(fits, kind, _kind_of("A419"))
    return _stay_rows(person, kind, death[person], rng.integers(0, 12, person.size)).assign(dead=True)


def _with_hospital(rng: np.random.Generator, population: Population, stays: pd.DataFrame) -> pd.DataFrame:
    who, kind = stays["person"].to_numpy(), stays["kind"].to_numpy()
    department = population.column("department")[who]
    # the nearest hospital for half of the stays; sessions always at the same place
    session = np.array([clinical.STAYS[k].session for k in kind], dtype=bool)
    pick = np.where(session, who % HOSPITALS, np.where(rng.random(who.size) < 0.5, 0, rng.integers(0, 3, who.size)))
    urgent = ~session & (rng.random(who.size) < 0.45)
    dead = stays["dead"].to_numpy()
    transfer = rng.random(who.size) < 0.03
    return stays.assign(
        hospital=[places.hospital(d, int(p)) for d, p in zip(department, pick, strict=True)],
        ghm=[clinical.STAYS[k].ghm for k in kind],
        main=[clinical.STAYS[k].main for k in kind],
        related=[clinical.STAYS[k].needs if clinical.STAYS[k].main == "Z511" else "" for k in kind],
        sessions=np.where(session, 1, 0),
        entry_mode="8",
        provenance=np.where(urgent, "5", ""),
        exit_mode=np.where(dead, "9", np.where(transfer & ~session, "7", "8")),
        destination=np.where(~dead & transfer & ~session, "2", ""),
    )


def _with_traps(rng: np.random.Generator, stays: pd.DataFrame, month: int) -> pd.DataFrame:
    """Adds columns grouped, linked, type and the copies under another FINESS (a copy keeps its stay's number)."""
    size = len(stays)
    unlinked = np.flatnonzero(rng.random(size) < 0.014)[: int(size * MOST_UNLINKED)]
    stays = stays.assign(
        grouped=rng.random(size) >= 0.006,
        linked=~np.isin(np.arange(size), unlinked),
        type=np.where(rng.random(size) < 0.01, "B", ""),
    )
    stays["ghm"] = np.where(stays["grouped"], stays["ghm"], "90Z00Z")
    if month // 12 + 1970 > places.LAST_DUPLICATE_YEAR:
        return stays
    twice = (stays["hospital"] == places.LEGAL_FINESS) & (rng.random(size) < 0.15)
    return pd.concat([stays, stays[twice].assign(hospital=places.DUPLICATE_FINESS)], ignore_index=True)


def _diagnoses(
    rng: np.random.Generator, population: Population, universe: Universe, stays: pd.DataFrame
) -> pd.DataFrame:
    """Associated diagnoses: diseases of the person, some others; never the main diagnosis itself."""
    who = stays["person"].to_numpy()
    single = stays["sessions"].to_numpy() == 0
    rows: list[tuple[int, str]] = []
    chance = rng.random((len(stays), len(clinical.DISEASES)))
    other = rng.random((len(stays), len(clinical.ASSOCIATED)))
    sex, age = population.ints("sex"), population.ints("age")

    def plausible(code: str, person: int) -> bool:
        one = slice(person, person + 1)
        return bool(universe.condition_limits.allow(universe.conditions[code], sex[one], age[one])[0])

    for stay, person in enumerate(who):
        if not single[stay]:
            continue
        has = population.diseases[person] & (chance[stay] < 0.7)
        own = [clinical.DISEASES[i].cim10 for i in np.flatnonzero(has)]
        more = [c for c, x in zip(clinical.ASSOCIATED, other[stay], strict=True) if x < 0.06 and plausible(c, person)]
        codes = dict.fromkeys(c for c in own + more if c != stays["main"].iat[stay])
        rows += [(stay, c) for c in codes]
    table = pd.DataFrame(rows, columns=["stay", "code"]).astype({"stay": np.int64})
    return _as_copies(table, stays).assign(rank=lambda t: t.groupby("stay").cumcount() + 1)


def _acts(rng: np.random.Generator, population: Population, universe: Universe, stays: pd.DataFrame) -> pd.DataFrame:
    """Acts of the stays: day after admission, activity 1 (the act) or 4 (its anaesthesia)."""
    who, nights = stays["person"].to_numpy(), stays["nights"].to_numpy()
    code_of = {row["code"]: i for i, row in enumerate(universe.acts)}
    sex, age = population.ints("sex"), population.ints("age")
    skipped = rng.random(len(stays)) < 0.05
    rows: list[tuple[int, int, str, str]] = []
    for stay, kind in enumerate(stays["kind"]):
        profile, person = clinical.STAYS[kind], int(who[stay])
        for place, (code, delay) in enumerate(profile.acts):
            fits = universe.act_limits.allow(code_of[code], sex[person : person + 1], age[person : person + 1])[0]
            if not fits or (skipped[stay] and not profile.session):
                continue
            day = min(delay, int(nights[stay]))
            rows.append((stay, day, code, "1"))
            if profile.surgery and place == 0:
                rows.append((stay, day, code, ANAESTHESIA))
    table = pd.DataFrame(rows, columns=["stay", "delay", "code", "activity"]).assign(times=1)
    return _as_copies(table.astype({"stay": np.int64, "delay": np.int64}), stays)


def _as_copies(table: pd.DataFrame, stays: pd.DataFrame) -> pd.DataFrame:
    """A stay sent twice has the same details twice: those of the first stay of its number."""
    first = stays.groupby("number")["person"].transform(lambda s: s.index[0]).to_numpy()
    own = table[first[table["stay"].to_numpy()] == table["stay"].to_numpy()]
    copies = np.flatnonzero(first != np.arange(len(stays)))
    more = [own[own["stay"] == first[c]].assign(stay=c) for c in copies]
    together: pd.DataFrame = pd.concat([own, *more], ignore_index=True)
    return together
