"""The code universe: drugs, acts, services and conditions that the hub's mappings know (``schemas/mappings``)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

import schemas

MAPPINGS = Path(schemas.__file__).resolve().parent / "mappings"
Ints = npt.NDArray[np.int64]
Row = dict[str, str]


def read(name: str) -> tuple[Row, ...]:
    """Rows of one file of ``schemas/mappings``."""
    with (MAPPINGS / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _ints(rows: tuple[Row, ...], column: str, default: int = 0) -> Ints:
    return np.array([int(r[column] or default) for r in rows], dtype=np.int64)


def _cents(rows: tuple[Row, ...]) -> Ints:
    return np.array([round(float(r["price"] or 0) * 100) for r in rows], dtype=np.int64)


@dataclass(frozen=True)
class Limits:
    """For whom each row of a file is plausible: sex (0 both), youngest and oldest age."""

    sex: Ints
    low: Ints
    high: Ints

    @classmethod
    def of(cls, rows: tuple[Row, ...]) -> Limits:
        return cls(_ints(rows, "sex"), _ints(rows, "age_min"), _ints(rows, "age_max", 120))

    def allow(self, item: Ints | int, sex: Ints, age: Ints) -> npt.NDArray[np.bool_]:
        """True where the item suits the person."""
        fits: npt.NDArray[np.bool_] = (age >= self.low[item]) & (age <= self.high[item])
        fits &= (self.sex[item] == 0) | (self.sex[item] == sex)
        return fits


@dataclass(frozen=True)
class Universe:
    """Arrays beside rows: index i of an array describes row i."""

    drugs: tuple[Row, ...]
    drug_limits: Limits
    drug_nature: Ints
    drug_price: Ints
    """Cents per box."""
    drug_chronic: npt.NDArray[np.bool_]
    acts: tuple[Row, ...]
    act_limits: Limits
    act_nature: Ints
    act_price: Ints
    conditions: dict[str, int]
    """Code to index: CIM10 and CISP2 codes never meet."""
    condition_limits: Limits
    services: dict[int, Row]

    def drugs_for(self, topic: str, chronic: bool | None = None) -> Ints:
        """Indices of the drugs for a topic; ``chronic`` keeps only those (not) taken all year."""
        drugs = [
            i
            for i, row in enumerate(self.drugs)
            if topic in row["topics"].split(";") and (chronic is None or self.drug_chronic[i] == chronic)
        ]
        return np.array(drugs, dtype=np.int64)

    def price_of(self, nature: int) -> int:
        """Cents for one unit of a service."""
        return round(float(self.services[nature]["price"] or 0) * 100)

    def city_acts(self) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Indices of the acts done outside hospital, and their share."""
        acts = np.array([i for i, r in enumerate(self.acts) if r["setting"] != "hospital"], dtype=np.int64)
        weight = np.array([float(self.acts[i]["weight"]) for i in acts])
        return acts, weight / weight.sum()


@cache
def load_universe() -> Universe:
    """Reads ``schemas/mappings`` once."""
    drugs, acts, conditions = read("drugs.csv"), read("acts.csv"), read("conditions.csv")
    return Universe(
        drugs=drugs,
        drug_limits=Limits.of(drugs),
        drug_nature=_ints(drugs, "prs_nat_ref"),
        drug_price=_cents(drugs),
        drug_chronic=np.array([r["chronic"] == "1" for r in drugs]),
        acts=acts,
        act_limits=Limits.of(acts),
        act_nature=_ints(acts, "prs_nat_ref"),
        act_price=_cents(acts),
        conditions={r["code"]: i for i, r in enumerate(conditions)},
        condition_limits=Limits.of(conditions),
        services={int(r["code"]): r for r in read("services.csv")},
    )
