"""The seeded population: who lives where, under whose policy, followed by which practice, with which diseases.

One row per person. The three sources draw on the same rows, so that a person's records can be linked. Sizes follow
France in outline only (age pyramid, mortality, prevalence); nobody in it exists.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from jobs.contributors.agent.stage1 import stage1
from jobs.contributors.synthetic import clinical, names, nir, places
from jobs.contributors.synthetic.codes import load_universe

Ints = npt.NDArray[np.int64]
AGE_BANDS = np.array([50, 58, 62, 62, 59, 56, 59, 62, 64, 61, 66, 65, 62, 58, 55, 42, 28, 20, 11, 3], dtype=float)
"""Relative size of the five-year age bands from 0-4 to 95-99."""
NEVER = 100_000
"""A day that does not come: the year 2243."""
PERSONS_PER_GP = 400
PRACTICE_SIZE = 3
"""General practitioners per practice; every second practice sends its records."""


@dataclass(frozen=True)
class Population:
    """``persons``: one row per person, ``diseases``: persons x ``clinical.DISEASES``, ``gps``: one row per GP."""

    seed: int
    persons: pd.DataFrame
    diseases: npt.NDArray[np.bool_]
    gps: pd.DataFrame

    def column(self, name: str) -> npt.NDArray[np.object_]:
        return self.persons[name].to_numpy(dtype=object)

    def ints(self, name: str) -> Ints:
        return self.persons[name].to_numpy(dtype=np.int64)


def stream(seed: int, *labels: str | int) -> np.random.Generator:
    """An independent random stream for one purpose: adding a purpose changes no other one."""
    return np.random.default_rng([seed, *(zlib.crc32(str(x).encode()) for x in labels)])


def to_day(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


def make_population(size: int, seed: int, start: date, months: int) -> Population:
    """``size`` persons alive on ``start`` (some die during the ``months``). Raises ``ValueError`` below 20 persons."""
    if size < 20:
        raise ValueError("a population has at least 20 persons")
    rng = stream(seed, "population")
    first_day = to_day(start)
    sex = rng.integers(1, 3, size)
    band = rng.choice(AGE_BANDS.size, size, p=AGE_BANDS / AGE_BANDS.sum())
    birth = first_day - 1 - (band * 1826 + rng.integers(0, 1826, size))
    gps = _practitioners(rng, size)
    gp = rng.integers(0, len(gps), size)
    holder, rank = _households(rng, sex, birth, first_day)
    gp = gp[holder]
    persons = pd.DataFrame({"sex": sex, "birth": birth, "holder": holder, "rank": rank, "gp": gp})
    for name in ("department", "commune", "practice"):
        persons[name] = gps[name].to_numpy()[gp]
    age = (first_day - birth) // 365
    persons["age"] = age
    persons["death"] = _deaths(rng, age, first_day, months, rank, holder)
    provisional = (rng.random(size) < 0.004) & (age >= 18) & ~np.isin(np.arange(size), holder[age < 18])
    persons["cdi"] = np.where(provisional, "04", "00")
    persons["nir"] = _nirs(rng, persons, provisional)
    persons["name"], persons["given"] = names.family_names(rng, size)[holder], names.given_names(rng, sex)
    persons["fund"] = [f"01C{places.dcir_department(d)}101" for d in persons["department"]]
    persons["solidarity"] = np.where(rng.random(size) < 0.11, "1", "0")[holder]
    persons["opposed"] = rng.random(size) < 0.006
    persons["no_nir"] = (rng.random(size) < 0.04) & (rank == 1)
    diseases = _diseases(rng, age, sex)
    return Population(seed, persons, diseases, gps)


def _diseases(rng: np.random.Generator, age: Ints, sex: Ints) -> npt.NDArray[np.bool_]:
    """Persons x ``clinical.DISEASES``: who has what, within the ages and sexes for which it is plausible."""
    universe = load_universe()
    share = np.array([d.share for d in clinical.DISEASES])[:, clinical.band_of(age)].T
    has: npt.NDArray[np.bool_] = rng.random(share.shape) < share
    for index, disease in enumerate(clinical.DISEASES):
        for code in filter(None, (disease.cim10, disease.cisp2)):
            has[:, index] &= universe.condition_limits.allow(universe.conditions[code], sex, age)
    return has


def _practitioners(rng: np.random.Generator, size: int) -> pd.DataFrame:
    """One row per GP: practice, place, the number used in claims (9 c) and the RPPS number (11 c)."""
    count = max(2 * PRACTICE_SIZE, round(size / PERSONS_PER_GP))
    practices = -(-count // PRACTICE_SIZE)
    weight = np.array([w for _, _, w in places.PLACES], dtype=float)
    fixed = min(places.FIRST_PLACES, practices)
    where = np.concatenate(
        [np.arange(fixed), rng.choice(len(places.PLACES), practices - fixed, p=weight / weight.sum())]
    )
    gps = pd.DataFrame({"practice": np.arange(count) // PRACTICE_SIZE})
    place = where[gps["practice"].to_numpy()]
    gps["department"] = [places.PLACES[p][0] for p in place]
    gps["commune"] = [places.PLACES[p][1] for p in place]
    gps["claims_id"] = [f"{d[:2]}1{i:05d}1" for i, d in enumerate(gps["department"])]
    gps["rpps"] = [f"101{i:07d}{(7 * i) % 10}" for i in range(count)]
    gps["sends"] = (gps["practice"] % 2 == 0) | (practices <= 2)
    return gps


def _households(rng: np.random.Generator, sex: Ints, birth: Ints, first_day: int) -> tuple[Ints, npt.NDArray[np.int64]]:
    """Policy holder (a row number, oneself for adults) and birth rank. Changes ``sex`` and ``birth`` of twins.

    Minors stand under an adult 18 to 45 years older. Some pairs of minors become same-sex twins: same holder, birth
    and sex, so the same pseudonym, told apart by rank only.
    """
    size = sex.size
    holder = np.arange(size)
    minors = np.flatnonzero(birth > first_day - 18 * 365.25)
    adults = np.flatnonzero((birth <= first_day - 18 * 365.25) & (birth > first_day - 66 * 365))
    if not adults.size or minors.size < 2:
        return holder, np.ones(size, dtype=np.int64)
    adults = adults[np.argsort(birth[adults], kind="stable")]
    gap = np.clip(rng.normal(30, 5, minors.size), 18.5, 45) * 365
    near = np.searchsorted(birth[adults], birth[minors] - gap) + rng.integers(-3, 4, minors.size)
    holder[minors] = adults[np.clip(near, 0, adults.size - 1)]
    # brothers and sisters are born on different days
    while (twice := pd.DataFrame({"h": holder, "b": birth, "s": sex}).duplicated().to_numpy()).any():
        birth[twice] -= 1
    rank = np.ones(size, dtype=np.int64)
    pairs = rng.permutation(minors)[: 2 * max(1, size // 1500)]
    for one, other in zip(pairs[::2], pairs[1::2], strict=False):
        sex[other], birth[other], holder[other], rank[other] = sex[one], birth[one], holder[one], 2
    return holder, rank


def _deaths(rng: np.random.Generator, age: Ints, first_day: int, months: int, rank: Ints, holder: Ints) -> Ints:
    """Day of death during the months, else ``NEVER``. Gompertz in outline: 0.9 % a year over all ages."""
    yearly = np.clip(0.00004 * np.exp(0.093 * age), 0, 0.4)
    dies = (rng.random(age.size) < yearly * months / 12) & (rank == 1)
    # policy holders of minors stay alive: a change of holder would change the children's pseudonym
    dies &= ~np.isin(np.arange(age.size), holder[age < 18]) & (age >= 18)
    return np.where(dies, first_day + rng.integers(3, 30 * months + 1, age.size), NEVER)


def _nirs(rng: np.random.Generator, persons: pd.DataFrame, provisional: npt.NDArray[np.bool_]) -> nir.Strings:
    size = len(persons)
    born = persons["birth"].to_numpy().astype("datetime64[D]")
    year = born.astype("datetime64[Y]").astype(int) + 1970
    month = born.astype("datetime64[M]").astype(int) % 12 + 1
    at_home = rng.random(size) < 0.6
    elsewhere = rng.integers(0, len(places.PLACES), size)
    abroad = (rng.random(size) < 0.1) & (persons["age"].to_numpy() >= 18)
    country = rng.integers(0, len(places.ABROAD), size)
    place = [
        ("99", places.ABROAD[country[i]])
        if abroad[i]
        else places.birth_place(d, c)
        if at_home[i]
        else places.birth_place(*places.PLACES[elsewhere[i]][:2])
        for i, (d, c) in enumerate(zip(persons["department"], persons["commune"], strict=True))
    ]
    department = np.array([d for d, _ in place], dtype=object)
    commune = np.array([c for _, c in place], dtype=object)
    leading = persons["sex"].to_numpy() + np.where(provisional, 6, 0)
    return nir.make_nirs(leading, year, month, department, commune)


def with_pseudonyms(population: Population, key: bytes) -> Population:
    """Adds what the contributors' custody makes of a person: psa (P1), identity (own NIR), holder_identity.

    A provisional NIR has no P1 by the hub's rules; the insurance still sends some pseudonym for it, made apart.
    """

    persons = population.persons.copy()
    numbers, births = persons["nir"].to_numpy(), persons["birth"].to_numpy().astype("datetime64[D]").astype(object)
    holders, provisional = persons["holder"].to_numpy(), (persons["cdi"] != "00").to_numpy()
    persons["psa"] = [
        _apart(key, "provisional", numbers[h])
        if provisional[i]
        else stage1(key, numbers[h][:13], births[i], str(persons_sex))
        for i, (h, persons_sex) in enumerate(zip(holders, persons["sex"], strict=True))
    ]
    own = [_apart(key, "identity", n) for n in numbers]
    persons["identity"] = [None if p else o for p, o in zip(provisional, own, strict=True)]
    persons["holder_identity"] = [own[h] for h in holders]
    return Population(population.seed, persons, population.diseases, population.gps)


def _apart(key: bytes, domain: str, number: str) -> str:
    digest = hmac.new(key, f"hub/synthetic/{domain}\0{number[:13]}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest)[:17].decode("ascii")
