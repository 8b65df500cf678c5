"""Reimbursed lines of one month of city care: one row per line that the insurance will send.

Everything follows from visits and prescriptions, or from a monthly rate. A chronic patient's refills fall on even
days and other drugs on odd ones, so that (person, day, nature) names one line among those that are acts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from jobs.contributors.synthetic import clinical
from jobs.contributors.synthetic.calendar import Ints, days_in, first_day
from jobs.contributors.synthetic.codes import Universe
from jobs.contributors.synthetic.population import Population

CABINET, HOME, REMOTE = 0, 1, 2
NATURE_OF_PLACE = np.array([1111, 1211, 1192])
SPECIALIST_RATE = np.array([0.05, 0.10, 0.14, 0.20, 0.18])
ACT_RATE = np.array([0.02, 0.03, 0.06, 0.10, 0.10])
SPECIALTIES = np.array([[3, 1114], [5, 1112], [7, 1112], [15, 1112], [14, 1112], [33, 1113]])
"""Specialty of the performer and nature of the service."""
SPECIALTY_OF_ACT = {1321: 4, 1324: 6, 1351: 6, 1352: 3}
INFORMATION = 71
"""Qualifier of lines that public hospitals send for information: the PMSI holds them in full."""
FLAT_RATE, CHILD_SURCHARGE = 16, 22
"""CPL_AFF_COD of the flat-rate contribution and of consultation surcharges."""


def reimbursed(
    rng: np.random.Generator,
    population: Population,
    universe: Universe,
    visits: pd.DataFrame,
    prescriptions: pd.DataFrame,
    month: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Lines, their drugs (line, drug, boxes, renewal) and their acts (line, act): ``line`` is a row number of lines.

    ``alive`` is False for care that the person did not live to get (or was not born for): such lines are not sent.
    """
    pharmacy, drugs = _dispensing(rng, universe, visits, prescriptions, month)
    technical, acts = _technical_acts(rng, population, universe, month)
    acts["line"] += len(pharmacy)
    parts = [
        pharmacy,
        technical,
        _visit_lines(universe, visits),
        _specialists(rng, population, universe, month),
        *_series(rng, population, universe, month),
        _laboratory(rng, universe, visits, month),
        _information_lines(rng, population, universe, month),
        _allowances(rng, population, universe, month),
    ]
    lines = pd.concat([p for p in parts if len(p)], ignore_index=True)
    person, day = lines["person"].to_numpy(), lines["day"].to_numpy()
    lines["alive"] = (day <= population.ints("death")[person]) & (day >= population.ints("birth")[person])
    return lines, drugs, acts


def poisson_days(rng: np.random.Generator, rate: npt.NDArray[np.float64], month: int) -> tuple[Ints, Ints]:
    """Persons and days of events at a monthly ``rate`` per person; no two of a person on one day."""
    count = np.minimum(rng.poisson(rate), 4)
    person = np.repeat(np.arange(rate.size), count)
    day = first_day(month) + rng.integers(0, days_in(month), person.size)
    keep = ~pd.DataFrame({"p": person, "d": day}).duplicated().to_numpy()
    return person[keep], day[keep]


def _line(**columns: object) -> pd.DataFrame:
    """Lines with defaults: an act (not a surcharge), one unit, that nobody prescribed. Prices are cents per unit."""
    base: dict[str, object] = {
        "prescribed": -1, "prescriber": -1, "quantity": 1, "rate": 70, "specialty": 0, "activity": 0, "surcharge": 0,
        "complement": 0, "base_nature": 0, "qualifier": 0, "sent_qualifier": 0, "nights": 0,
    }  # fmt: skip
    return pd.DataFrame({**columns, **{k: v for k, v in base.items() if k not in columns}})


def _prices(universe: Universe, natures: Ints) -> Ints:
    known = {int(n): universe.price_of(int(n)) for n in np.unique(natures)}
    return np.array([known[int(n)] for n in natures], dtype=np.int64)


def _visit_lines(universe: Universe, visits: pd.DataFrame) -> pd.DataFrame:
    """One line per visit; a surcharge for some, the flat-rate contribution for others: complements, not visits."""
    nature = NATURE_OF_PLACE[visits["place"].to_numpy()]
    lines = _line(
        person=visits["person"], day=visits["day"], performer="gp", number=visits["gp"], nature=nature,
        price=_prices(universe, nature), specialty=1,
    )  # fmt: skip
    extra = lines.assign(base_nature=nature, surcharge=2)
    child = (visits["person"].to_numpy() % 11 == 0) & (nature == 1111)
    flat = visits["person"].to_numpy() % 9 == 0
    return pd.concat(
        [
            lines,
            extra[child].assign(nature=1903, price=500, complement=CHILD_SURCHARGE),
            extra[flat].assign(price=200, complement=FLAT_RATE),
        ],
        ignore_index=True,
    )


def _dispensing(
    rng: np.random.Generator, universe: Universe, visits: pd.DataFrame, prescriptions: pd.DataFrame, month: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pharmacy lines (one per person, day and rate) and the drugs of each."""
    visit = prescriptions["visit"].to_numpy()
    chronic = prescriptions["renewals"].to_numpy() > 0
    parts = []
    for renewal in range(3):
        goes = rng.random(len(visits))[visit] < 0.93
        day = visits["day"].to_numpy()[visit] + 28 * renewal
        day = day + (day % 2 == np.where(chronic, 1, 0))
        given_now = goes & (chronic if renewal else chronic | (day < first_day(month + 1)))
        parts.append(prescriptions.assign(day=day, renewal=renewal)[given_now])
    given = pd.concat(parts, ignore_index=True)
    given["person"] = visits["person"].to_numpy()[given["visit"].to_numpy()]
    drug = given["drug"].to_numpy()
    given["nature"] = universe.drug_nature[drug]
    given["amount"] = universe.drug_price[drug] * given["boxes"].to_numpy()
    given = given.sort_values(["visit", "renewal", "nature", "drug"], kind="stable", ignore_index=True)
    # two acute visits may end at the pharmacy on the same day: the first one stands
    first = given.groupby(["person", "day"], sort=False)["visit"].transform("first")
    given = given[given["visit"] == first].reset_index(drop=True)
    given["line"] = given.groupby(["person", "day", "nature"], sort=False).ngroup()
    grouped = given.groupby("line", sort=True)
    head, boxes = grouped.first(), grouped["boxes"].sum().to_numpy()
    gp = visits["gp"].to_numpy()[head["visit"].to_numpy()]
    nature = head["nature"].to_numpy()
    lines = _line(
        person=head["person"].to_numpy(), day=head["day"].to_numpy(), performer="pharmacy", number=gp, nature=nature,
        price=grouped["amount"].sum().to_numpy() // np.maximum(boxes, 1), quantity=boxes, prescriber=gp, activity=50,
        prescribed=visits["day"].to_numpy()[head["visit"].to_numpy()], rate=_rates(universe, nature),
    )  # fmt: skip
    return lines, given[["line", "drug", "boxes", "renewal"]]


def _rates(universe: Universe, natures: Ints) -> Ints:
    known = {int(n): int(universe.services[int(n)]["rate"]) for n in np.unique(natures)}
    return np.array([known[int(n)] for n in natures], dtype=np.int64)


def _specialists(rng: np.random.Generator, population: Population, universe: Universe, month: int) -> pd.DataFrame:
    person, day = poisson_days(rng, SPECIALIST_RATE[clinical.band_of(population.ints("age"))], month)
    table = SPECIALTIES[rng.integers(0, len(SPECIALTIES), person.size)]
    return _line(
        person=person, day=day, performer="specialist", number=population.ints("gp")[person], specialty=table[:, 0],
        nature=table[:, 1], price=_prices(universe, table[:, 1]),
    )  # fmt: skip


def _technical_acts(
    rng: np.random.Generator, population: Population, universe: Universe, month: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """CCAM acts outside hospital: the line and its detail. No two of a person on one day."""
    person, day = poisson_days(rng, ACT_RATE[clinical.band_of(population.ints("age"))], month)
    acts, share = universe.city_acts()
    act = rng.choice(acts, person.size, p=share)
    fits = universe.act_limits.allow(act, population.ints("sex")[person], population.ints("age")[person])
    person, day, act = person[fits], day[fits], act[fits]
    nature = universe.act_nature[act]
    lines = _line(
        person=person, day=day, performer="technical", number=population.ints("gp")[person], nature=nature,
        specialty=np.array([SPECIALTY_OF_ACT[int(n)] for n in nature], dtype=np.int64), price=universe.act_price[act],
        prescribed=day - rng.integers(1, 20, person.size), prescriber=population.ints("gp")[person],
    )  # fmt: skip
    return lines, pd.DataFrame({"line": np.arange(person.size), "act": act})


def _series(rng: np.random.Generator, population: Population, universe: Universe, month: int) -> list[pd.DataFrame]:
    """Nurses' and physiotherapists' series: few persons, many days."""
    age, gp, start = population.ints("age"), population.ints("gp"), first_day(month)
    parts = []
    for performer, share, often, nature, activity in (
        ("nurse", np.where(age >= 75, 0.09, 0.01), 0.55, 3111, 24),
        ("nurse", np.where(age >= 75, 0.03, 0.002), 0.9, 3112, 24),
        ("physiotherapist", np.where(age >= 40, 0.025, 0.01), 0.3, 3125, 26),
        ("physiotherapist", np.where(age >= 40, 0.008, 0.003), 0.3, 3122, 26),
    ):
        chosen = np.flatnonzero(rng.random(age.size) < share)
        who, when = np.nonzero(rng.random((chosen.size, days_in(month))) < often)
        person = chosen[who]
        lines = _line(
            person=person, day=start + when, performer=performer, number=gp[person], nature=nature, rate=60,
            price=universe.price_of(nature), activity=activity, prescribed=start - 1 - person % 20,
            prescriber=gp[person],
        )  # fmt: skip
        parts.append(lines)
    return parts


def _laboratory(rng: np.random.Generator, universe: Universe, visits: pd.DataFrame, month: int) -> pd.DataFrame:
    asked = rng.random(len(visits)) < np.where(visits["chronic"], 0.5, 0.08)
    day = visits["day"].to_numpy() + rng.integers(1, 6, len(visits))
    chosen = visits.assign(lab=day)[asked & (day < first_day(month + 1))].drop_duplicates(["person", "lab"])
    person, gp = chosen["person"].to_numpy(), chosen["gp"].to_numpy()
    return _line(
        person=person, day=chosen["lab"].to_numpy(), performer="laboratory", number=gp, nature=3211,
        price=universe.price_of(3211), quantity=1 + person % 4, prescribed=chosen["day"].to_numpy(), prescriber=gp,
        activity=30, rate=60,
    )  # fmt: skip


def _information_lines(
    rng: np.random.Generator, population: Population, universe: Universe, month: int
) -> pd.DataFrame:
    """Outpatient acts of public hospitals, sent for information, marked in one or both qualifier columns."""
    person, day = poisson_days(rng, np.full(len(population.persons), 0.015), month)
    return _line(
        person=person, day=day, performer="hospital", number=population.ints("gp")[person], nature=1112, specialty=14,
        price=universe.price_of(1112), qualifier=np.where(person % 5 < 3, INFORMATION, 0), sent_qualifier=INFORMATION,
    )  # fmt: skip


def _allowances(rng: np.random.Generator, population: Population, universe: Universe, month: int) -> pd.DataFrame:
    """Daily sickness allowances: money, not care; no visit follows from them."""
    age = population.ints("age")
    person, day = poisson_days(rng, np.where((age >= 20) & (age < 63), 0.012, 0.0), month)
    return _line(
        person=person, day=day, performer="none", number=population.ints("gp")[person], nature=6111, rate=100,
        price=universe.price_of(6111), quantity=1 + person % 14, nights=person % 14,
        prescribed=day, prescriber=population.ints("gp")[person],
    )  # fmt: skip
