"""City care of one month: visits, prescriptions, dispensing, nurses, laboratories, technical acts.

Everything follows from visits: a prescription leads to its dispensing (renewals of chronic drugs 28 and 56 days
later), each leads to a reimbursed line. ``care_of`` is a pure function of the population and the month, so that a
month can be made again alone. A chronic patient's refills fall on even days and other drugs on odd ones: a person
has one dispensing a day, and (person, day, nature) names one line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jobs.contributors.synthetic import clinical
from jobs.contributors.synthetic.calendar import Ints, days_in, first_day
from jobs.contributors.synthetic.codes import Universe
from jobs.contributors.synthetic.population import Population, stream
from jobs.contributors.synthetic.services import CABINET, HOME, REMOTE, poisson_days, reimbursed

GP_RATE = np.array([0.42, 0.22, 0.27, 0.30, 0.34])
"""Visits a month for acute reasons, by age band."""
WINTER = (1.25, 1.2, 1.1, 1.0, 0.95, 0.9, 0.8, 0.75, 0.95, 1.05, 1.1, 1.25)


@dataclass(frozen=True)
class Care:
    """One month's city care. ``visit`` numbers rows of ``visits``; ``line`` numbers rows of ``lines``.

    visits: person, day, minute, place, gp, chronic · problems: visit, rank, cim10, cisp2 · prescriptions: visit, rank,
    drug, boxes, days, renewals · lines: one reimbursed line (person, day, nature ...) · drugs: line, drug, boxes,
    renewal · acts: line, ccam
    """

    visits: pd.DataFrame
    problems: pd.DataFrame
    prescriptions: pd.DataFrame
    lines: pd.DataFrame
    drugs: pd.DataFrame
    acts: pd.DataFrame


def care_of(population: Population, universe: Universe, month: int) -> Care:
    """All city care that begins in ``month`` (a month number), with the refills that it leads to."""
    rng = stream(population.seed, "care", month)
    visits = _visits(rng, population, month)
    problems, reasons = _problems(rng, population, universe, visits)
    prescriptions = _prescriptions(rng, population, universe, visits, reasons)
    lines, drugs, acts = reimbursed(rng, population, universe, visits, prescriptions, month)
    return Care(visits, problems, prescriptions, lines, drugs, acts)


def _visits(rng: np.random.Generator, population: Population, month: int) -> pd.DataFrame:
    band = clinical.band_of(population.ints("age"))
    size = band.size
    followed = np.flatnonzero(population.diseases.any(axis=1) & ((np.arange(size) + month) % 3 == 0))
    acute, acute_day = poisson_days(rng, GP_RATE[band] * WINTER[month % 12], month)
    # twins are seen every month: the insurance then always knows that two persons share their pseudonym
    twins = np.flatnonzero(population.ints("rank") == 2)
    person = np.concatenate([followed, acute, twins])
    start, length = first_day(month), days_in(month)
    day = np.concatenate(
        [start + rng.integers(0, length, followed.size), acute_day, start + rng.integers(0, length, twins.size)]
    )
    visits = pd.DataFrame({"person": person, "day": day, "chronic": np.arange(person.size) < followed.size})
    visits = visits.drop_duplicates(["person", "day"])
    visits = visits[visits["day"].to_numpy() < population.ints("death")[visits["person"].to_numpy()]]
    visits = visits.sort_values(["day", "person"], kind="stable", ignore_index=True)
    who, count = visits["person"].to_numpy(), len(visits)
    draw = rng.random(count)
    home = np.where(population.ints("age")[who] >= 80, 0.35, 0.01)
    visits["place"] = np.where(draw < home, HOME, np.where(draw > 0.95, REMOTE, CABINET))
    visits["gp"] = _which_gp(rng, population, who)
    made: pd.DataFrame = visits.assign(minute=rng.integers(8 * 60, 19 * 60, count))
    return made


def _which_gp(rng: np.random.Generator, population: Population, person: Ints) -> Ints:
    """Mostly one's own GP, sometimes a colleague; one person in 97 also goes to another practice."""
    own = population.ints("gp")[person]
    practice = population.gps["practice"].to_numpy()
    draw, other = rng.random(person.size), rng.integers(0, practice.size, person.size)
    same_practice = practice[other] == practice[own]
    elsewhere = (person % 97 == 0) & (draw < 0.4)
    return np.where(((draw < 0.3) & same_practice) | elsewhere, other, own)


def _problems(
    rng: np.random.Generator, population: Population, universe: Universe, visits: pd.DataFrame
) -> tuple[pd.DataFrame, Ints]:
    """Problems of the visits, and per visit the acute reason (index, -1 for a follow-up)."""
    person, chronic = visits["person"].to_numpy(), visits["chronic"].to_numpy()
    age, sex = population.ints("age")[person], population.ints("sex")[person]
    weights = np.array([r.weight for r in clinical.REASONS]).T
    cumulated = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)[clinical.band_of(age)]
    reason = (rng.random(person.size)[:, None] > cumulated).sum(axis=1).clip(0, len(clinical.REASONS) - 1)
    items = [[universe.conditions[c] for c in (r.cim10 or r.cisp2, r.cisp2 or r.cim10)] for r in clinical.REASONS]
    both = np.array(items)[reason]
    fits = universe.condition_limits.allow(both[:, 0], sex, age) & universe.condition_limits.allow(both[:, 1], sex, age)
    reason = np.where(chronic, -1, np.where(fits, reason, clinical.ANY_AGE))
    visit, disease = np.nonzero(population.diseases[person] & chronic[:, None])
    acute = np.flatnonzero(~chronic)
    of_disease = np.array([(d.cim10, d.cisp2) for d in clinical.DISEASES], dtype=object)[disease]
    of_reason = np.array([(r.cim10, r.cisp2) for r in clinical.REASONS], dtype=object)[reason[acute]]
    codes = np.concatenate([of_disease.reshape(-1, 2), of_reason.reshape(-1, 2)])
    problems = pd.DataFrame({"visit": np.concatenate([visit, acute]), "cim10": codes[:, 0], "cisp2": codes[:, 1]})
    problems = problems.sort_values("visit", kind="stable", ignore_index=True)
    # some visits have no problem noted
    problems = problems[rng.random(len(problems)) > 0.04].reset_index(drop=True)
    problems["rank"] = problems.groupby("visit").cumcount() + 1
    return problems, reason


def _prescriptions(
    rng: np.random.Generator, population: Population, universe: Universe, visits: pd.DataFrame, reason: Ints
) -> pd.DataFrame:
    """Drugs prescribed at the visits: all year long for chronic diseases (two renewals), a few days for the rest."""
    person, chronic = visits["person"].to_numpy(), visits["chronic"].to_numpy()
    sex, age = population.ints("sex")[person], population.ints("age")[person]
    wanted: list[tuple[Ints, int, int, int, int]] = []
    for index, disease in enumerate(clinical.DISEASES):
        has = population.diseases[person, index] & chronic
        for place, drug in enumerate(universe.drugs_for(disease.topic, chronic=True)):
            takes = has & (((person * 7 + place) % 3) == 0) & universe.drug_limits.allow(drug, sex, age)
            wanted.append((np.flatnonzero(takes), int(drug), 1, 30, 2))
    for index, why in enumerate(clinical.REASONS):
        for drug in universe.drugs_for(why.topic, chronic=False):
            takes = (reason == index) & (rng.random(person.size) < 0.6) & universe.drug_limits.allow(drug, sex, age)
            wanted.append((np.flatnonzero(takes), int(drug), 1 + index % 2, 6, 0))
    size = [w[0].size for w in wanted]
    table = pd.DataFrame({"visit": np.concatenate([w[0] for w in wanted])})
    for place, name in enumerate(("drug", "boxes", "days", "renewals"), start=1):
        table[name] = np.repeat(np.array([w[place] for w in wanted], dtype=np.int64), size)
    table = table.drop_duplicates(["visit", "drug"]).sort_values(["visit", "drug"], kind="stable", ignore_index=True)
    table["rank"] = table.groupby("visit").cumcount() + 1
    return table
